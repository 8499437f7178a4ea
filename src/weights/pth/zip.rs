//! The part of the zip format that `torch.save` uses: a central directory of stored records, and deflated ones as a zip
//! program would make them anew. No encryption, no parts, no zip64 (archives over 4 GiB).

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;

use flate2::Crc;
use flate2::read::DeflateDecoder;

const END: [u8; 4] = *b"PK\x05\x06";
const CENTRAL: [u8; 4] = *b"PK\x01\x02";
const LOCAL: [u8; 4] = *b"PK\x03\x04";
/// Packed records may grow to this many times the whole file together. Weights hardly shrink at all; what shrinks more is
/// a bomb, or zeros.
const GROWTH: usize = 16;

/// A record as the central directory has it.
#[derive(Debug, Clone)]
struct Record {
    packed: bool,
    crc: u32,
    stored_size: usize,
    size: usize,
    header: usize,
}

/// The records of an archive.
#[derive(Debug)]
pub struct Archive<'a> {
    bytes: &'a [u8],
    records: BTreeMap<String, Record>,
    unpacked: usize,
}

/// A record's bytes.
pub enum Contents {
    /// In the archive itself.
    Here(Range<usize>),
    /// Unpacked.
    Unpacked(Vec<u8>),
}

fn u16_at(b: &[u8], at: usize) -> usize {
    b.get(at..at + 2).map_or(0, |b| usize::from(u16::from_le_bytes([b[0], b[1]])))
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    b.get(at..at + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
}

impl<'a> Archive<'a> {
    /// Reads the directory.
    ///
    /// # Errors
    /// What is wrong with it, as half a sentence about the file.
    pub fn open(bytes: &'a [u8]) -> Result<Archive<'a>, String> {
        let end = find_end(bytes).ok_or("has no directory at its end: it was cut off, or is still being written")?;
        let (disk, count) = (u16_at(bytes, end + 4), u16_at(bytes, end + 10));
        let (length, start) = (u32_at(bytes, end + 12) as usize, u32_at(bytes, end + 16) as usize);
        if disk != 0 || u16_at(bytes, end + 8) != count {
            return Err("is a part of a zip archive in several parts".to_string());
        }
        if count == 0xffff || length == 0xffff_ffff || start == 0xffff_ffff {
            return Err("is an archive over 4 GiB (zip64), which is not read here".to_string());
        }
        let directory = start.checked_add(length).filter(|e| *e <= end).and_then(|e| bytes.get(start..e));
        let directory = directory.ok_or("has a directory that points outside the file: it was cut or altered")?;
        let mut records = BTreeMap::new();
        let mut at = 0;
        for i in 0..count {
            let odd = |what: &str| format!("has a damaged directory: record {i} of {count} {what}");
            let fixed = directory.get(at..at + 46).ok_or_else(|| odd("is not all there"))?;
            if fixed[..4] != CENTRAL {
                return Err(odd("does not begin as one"));
            }
            let (name, extra, comment) = (u16_at(fixed, 28), u16_at(fixed, 30), u16_at(fixed, 32));
            let next = at + 46 + name + extra + comment;
            let text = directory.get(at + 46..at + 46 + name).filter(|_| next <= directory.len());
            let text = std::str::from_utf8(text.ok_or_else(|| odd("is not all there"))?)
                .map_err(|_| odd("has a name that is not text"))?;
            let name = short(text);
            if u16_at(fixed, 8) & 1 != 0 {
                return Err(format!("is encrypted (record {name})"));
            }
            let record = Record {
                packed: match u16_at(fixed, 10) {
                    0 => false,
                    8 => true,
                    other => return Err(format!("packs record {name} in way {other}, which is not read here")),
                },
                crc: u32_at(fixed, 16),
                stored_size: u32_at(fixed, 20) as usize,
                size: u32_at(fixed, 24) as usize,
                header: u32_at(fixed, 42) as usize,
            };
            if [record.stored_size, record.size, record.header].contains(&0xffff_ffff) {
                return Err(format!("has a record over 4 GiB (zip64: {name}), which is not read here"));
            }
            if records.insert(text.to_string(), record).is_some() {
                return Err(format!("has two records of the name {name}"));
            }
            at = next;
        }
        Ok(Archive { bytes, records, unpacked: 0 })
    }

    /// The names of all records.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.records.keys().map(String::as_str)
    }

    /// The bytes of a record; their checksum is right.
    ///
    /// # Errors
    /// What is wrong with it, as half a sentence about the file.
    pub fn contents(&mut self, name: &str) -> Result<Contents, String> {
        let r = self.records.get(name).ok_or_else(|| format!("has no record {}", short(name)))?.clone();
        let name = short(name);
        let local = self.bytes.get(r.header..r.header + 30).filter(|h| h[..4] == LOCAL);
        let local = local.ok_or_else(|| format!("has no record where its directory says that {name} is"))?;
        let start = r.header + 30 + u16_at(local, 26) + u16_at(local, 28);
        let data = start.checked_add(r.stored_size).and_then(|e| self.bytes.get(start..e));
        let data = data.ok_or_else(|| {
            format!("is cut off: record {name} should have {} bytes from byte {start} on", r.stored_size)
        })?;
        let altered = || {
            format!(
                "has a record whose checksum is wrong ({name}): it was altered or damaged, or saved with \
                 torch.serialization.set_crc32_options(False)"
            )
        };
        let mut crc = Crc::new();
        if !r.packed {
            if r.size != r.stored_size {
                return Err(format!("has two sizes for record {name}: {} and {}", r.size, r.stored_size));
            }
            crc.update(data);
            return if crc.sum() == r.crc { Ok(Contents::Here(start..start + r.size)) } else { Err(altered()) };
        }
        let budget = (self.bytes.len().saturating_mul(GROWTH)).saturating_sub(self.unpacked);
        if r.size > budget {
            return Err(format!("would unpack to more than {GROWTH} times its size (record {name}): a zip bomb"));
        }
        // The size is a claim; what is allocated grows with what comes out, and stops behind it.
        let mut out = Vec::new();
        DeflateDecoder::new(data)
            .take(r.size as u64 + 1)
            .read_to_end(&mut out)
            .map_err(|e| format!("has a record that cannot be unpacked ({name}: {e})"))?;
        if out.len() != r.size {
            return Err(format!("has a record that unpacks to another size than it says ({name}, {} bytes)", r.size));
        }
        self.unpacked += out.len();
        crc.update(&out);
        if crc.sum() == r.crc { Ok(Contents::Unpacked(out)) } else { Err(altered()) }
    }
}

/// The end record: the last one whose comment reaches to the end of the file.
fn find_end(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(22)?;
    let first = last.saturating_sub(0xffff);
    (first..=last).rev().find(|at| bytes[*at..*at + 4] == END && at + 22 + u16_at(bytes, at + 20) == bytes.len())
}

/// A name for messages.
pub fn short(name: &str) -> String {
    let mut out: String = name.chars().take(60).flat_map(char::escape_debug).collect();
    if name.chars().nth(60).is_some() {
        out.push_str("...");
    }
    out
}
