//! TensorBoard event files.
//!
//! A file is a sequence of records: length (u64), masked CRC-32C of it, payload, masked CRC-32C of that, all little
//! endian. A payload is a protocol buffer, `tensorflow.Event`; the few fields that are used are written by hand:
//!
//! ```text
//! Event         1 wall_time (double)  2 step (varint)  3 file_version (string)  5 summary  7 session_log
//! SessionLog    1 status (1 = START: forget later steps of earlier files)
//! Summary       1 value (repeated)
//! Value         1 tag (string)  2 simple_value (float)  4 image  5 histogram  8 tensor  9 metadata
//! Histogram     1 min  2 max  3 num  4 sum  5 sum_squares (doubles)  6 bucket_limit  7 bucket (packed doubles)
//! Image         1 height  2 width  3 colorspace (3 = RGB)  4 encoded_image_string (PNG)
//! Metadata      1 plugin_data { 1 plugin_name }
//! Tensor        1 dtype (7 = string)  2 shape { 2 dim { 1 size } }  8 string_val
//! ```

use std::fs::{File, OpenOptions};
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use image::{ImageFormat, RgbImage};

use super::diagnosis::{BINS, Diagnosis, LayerDiagnosis, edge};
use super::events::{Event, Listener};
use crate::{Error, Result};

/// Writes training to a TensorBoard event file.
#[derive(Debug)]
pub struct TensorBoard {
    file: File,
    path: PathBuf,
}

impl TensorBoard {
    /// A new event file `events.out.tfevents.<seconds since 1970>.<host>` in `folder`, which is made where missing.
    pub fn create(folder: impl AsRef<Path>) -> Result<TensorBoard> {
        let folder = folder.as_ref();
        std::fs::create_dir_all(folder).map_err(|e| Error::io("create", folder, e))?;
        let name = format!("events.out.tfevents.{:010}.{}", now() as u64, host());
        let mut path = folder.join(&name);
        let mut tries = 0;
        let file = loop {
            match OpenOptions::new().append(true).create_new(true).open(&path) {
                // Two sessions within a second.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists && tries < 100 => {
                    tries += 1;
                    path = folder.join(format!("{name}.{tries}"));
                }
                other => break other.map_err(|e| Error::io("create", &path, e))?,
            }
        };
        let mut board = TensorBoard { file, path };
        board.write(&Message::default().double(1, now()).bytes(3, b"brain.Event:2"))?;
        Ok(board)
    }

    /// The event file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds values at `step`, one a tag.
    pub fn scalars<'a>(&mut self, step: u64, values: impl IntoIterator<Item = (&'a str, f64)>) -> Result<()> {
        let mut summary = Message::default();
        for (tag, value) in values {
            summary = summary.message(1, Message::default().bytes(1, tag.as_bytes()).float(2, value as f32));
        }
        self.summary(step, summary)
    }

    /// Adds a picture at `step`.
    pub fn image(&mut self, tag: &str, step: u64, picture: &RgbImage) -> Result<()> {
        let mut png = Cursor::new(Vec::new());
        picture.write_to(&mut png, ImageFormat::Png).map_err(|e| {
            Error::format(&self.path, format!("picture {tag} cannot be written as PNG: {e}"), "Check its size")
        })?;
        let image = Message::default()
            .varint(1, u64::from(picture.height()))
            .varint(2, u64::from(picture.width()))
            .varint(3, 3)
            .bytes(4, png.get_ref());
        let value = Message::default().bytes(1, tag.as_bytes()).message(4, image);
        self.summary(step, Message::default().message(1, value))
    }

    /// Adds a text (Markdown) at `step`.
    pub fn text(&mut self, tag: &str, step: u64, text: &str) -> Result<()> {
        let shape = Message::default().message(2, Message::default().varint(1, 1));
        let tensor = Message::default().varint(1, 7).message(2, shape).bytes(8, text.as_bytes());
        let metadata = Message::default().message(1, Message::default().bytes(1, b"text"));
        let value = Message::default().bytes(1, tag.as_bytes()).message(8, tensor).message(9, metadata);
        self.summary(step, Message::default().message(1, value))
    }

    /// Adds the latent weights of a layer at `step`.
    fn histogram(&mut self, tag: &str, step: u64, d: &LayerDiagnosis) -> Result<()> {
        let count = d.weights as f64;
        // Readers take the largest value for the last limit.
        let limits = (0..BINS).map(|i| if i + 1 < BINS { edge(i) * d.mean_abs } else { f64::MAX });
        let packed = |values: &mut dyn Iterator<Item = f64>| values.flat_map(f64::to_le_bytes).collect::<Vec<u8>>();
        let histogram = Message::default()
            .double(1, d.lowest)
            .double(2, d.highest)
            .double(3, count)
            .double(4, d.mean * count)
            .double(5, d.norm * d.norm)
            .bytes(6, &packed(&mut limits.into_iter()))
            .bytes(7, &packed(&mut d.histogram.iter().map(|n| *n as f64)));
        let value = Message::default().bytes(1, tag.as_bytes()).message(5, histogram);
        self.summary(step, Message::default().message(1, value))
    }

    fn diagnosis(&mut self, d: &Diagnosis) -> Result<()> {
        for l in &d.layers {
            let values = [
                ("flipped", Some(l.flipped)),
                ("near_zero", Some(l.near_zero)),
                ("inside", Some(l.inside)),
                ("constant_inputs", Some(l.constant_inputs)),
                ("dead_outputs", l.dead_outputs),
                ("gradient", Some(l.gradient)),
                ("gradient_to_weight", Some(l.gradient_ratio())),
            ];
            let values = values.into_iter().filter_map(|(n, v)| Some((format!("diagnose/{}/{n}", l.layer), v?)));
            let values: Vec<(String, f64)> = values.collect();
            self.scalars(d.step, values.iter().map(|(n, v)| (n.as_str(), *v)))?;
            self.histogram(&format!("latent/{}", l.layer), d.step, l)?;
        }
        if !d.advice.is_empty() {
            self.text("diagnose/advice", d.step, &d.advice.join("\n\n"))?;
        }
        Ok(())
    }

    fn summary(&mut self, step: u64, summary: Message) -> Result<()> {
        self.write(&Message::default().double(1, now()).varint(2, step).message(5, summary))
    }

    fn write(&mut self, event: &Message) -> Result<()> {
        let payload = &event.0;
        let length = (payload.len() as u64).to_le_bytes();
        let mut record = Vec::with_capacity(payload.len() + 16);
        record.extend(length);
        record.extend(masked_crc(&length).to_le_bytes());
        record.extend(payload);
        record.extend(masked_crc(payload).to_le_bytes());
        self.file.write_all(&record).map_err(|e| Error::io("write", &self.path, e))
    }
}

impl Listener for TensorBoard {
    fn event(&mut self, event: &Event) -> Result<()> {
        match event {
            Event::RunStarted(s) => {
                if let Some(done) = s.resumed_at {
                    let start = Message::default().varint(1, 1);
                    self.write(&Message::default().double(1, now()).varint(2, done + 1).message(7, start))?;
                }
                let config = serde_json::to_string_pretty(&s.config).unwrap_or_default();
                let indented: String = config.lines().map(|l| format!("    {l}\n")).collect();
                let head = format!(
                    "**{}** on {}: {} parameters, {} float and {} binary multiply-adds an image\n\n",
                    s.model, s.device, s.parameters, s.float_macs, s.binary_macs
                );
                self.text("run/configuration", s.resumed_at.unwrap_or(0), &(head + &indented))
            }
            Event::Step(s) => {
                let losses: Vec<(String, f64)> = s.losses.iter().map(|(k, v)| (format!("loss/{k}"), *v)).collect();
                let rest = [
                    ("train/learning_rate", s.lr),
                    ("train/images_per_second", s.images_per_second),
                    ("train/wait_share", s.wait_share),
                    ("train/epoch", s.epoch),
                ];
                let norm = s.grad_norm.map(|n| ("train/grad_norm", n));
                self.scalars(s.step, losses.iter().map(|(k, v)| (k.as_str(), *v)).chain(rest).chain(norm))
            }
            Event::Evaluated(e) => {
                let classes: Vec<(String, f64)> = e.per_class.iter().map(|(k, v)| (format!("AP/{k}"), *v)).collect();
                let all = classes.iter().map(|(k, v)| (k.as_str(), *v)).chain([("eval/mAP", e.map)]);
                self.scalars(e.step, all)
            }
            Event::Complexity(c) => {
                let losses: Vec<(String, f64)> =
                    c.losses.iter().map(|(k, v)| (format!("estimator/loss_{k}"), *v)).collect();
                let fixed = [
                    ("aic/s_mean", c.s.mean),
                    ("aic/s_deviation", c.s.deviation),
                    ("aic/beta_mean", c.beta.mean),
                    ("aic/beta_low", c.beta.low),
                    ("aic/beta_high", c.beta.high),
                ];
                let rest = [
                    ("estimator/reconstruction", c.reconstruction),
                    ("estimator/psnr", c.psnr),
                    ("estimator/discriminator_accuracy", c.discriminator_accuracy),
                ];
                let rest = rest.into_iter().filter_map(|(k, v)| Some((k, v?)));
                self.scalars(c.step, losses.iter().map(|(k, v)| (k.as_str(), *v)).chain(fixed).chain(rest))
            }
            Event::Diagnosed(d) => self.diagnosis(d),
            Event::Note { .. } | Event::Warning { .. } | Event::CheckpointSaved { .. } | Event::RunFinished(_) => {
                Ok(())
            }
        }
    }
}

/// CRC-32C, rotated right by 15 and moved by a constant, as TFRecord wants it.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protocol buffer being written.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u32, wire: u32) {
        self.raw_varint(u64::from(field << 3 | wire));
    }

    fn raw_varint(&mut self, mut v: u64) {
        while v >= 0x80 {
            self.0.push(v as u8 | 0x80);
            v >>= 7;
        }
        self.0.push(v as u8);
    }

    fn varint(mut self, field: u32, v: u64) -> Self {
        self.key(field, 0);
        self.raw_varint(v);
        self
    }

    fn double(mut self, field: u32, v: f64) -> Self {
        self.key(field, 1);
        self.0.extend(v.to_le_bytes());
        self
    }

    fn float(mut self, field: u32, v: f32) -> Self {
        self.key(field, 5);
        self.0.extend(v.to_le_bytes());
        self
    }

    fn bytes(mut self, field: u32, v: &[u8]) -> Self {
        self.key(field, 2);
        self.raw_varint(v.len() as u64);
        self.0.extend(v);
        self
    }

    fn message(self, field: u32, v: Message) -> Self {
        self.bytes(field, &v.0)
    }
}

/// Seconds since 1970; 0 on a clock before it.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

/// This machine's name, for telling event files apart; `localhost` where it is not known.
fn host() -> String {
    let name = std::env::var("HOSTNAME")
        .or_else(|_| std::env::var("COMPUTERNAME"))
        .or_else(|_| std::fs::read_to_string("/etc/hostname"))
        .unwrap_or_default();
    let kept: String =
        name.trim().chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_')).take(60).collect();
    if kept.is_empty() { "localhost".into() } else { kept }
}
