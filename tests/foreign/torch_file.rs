//! Writes checkpoints as `torch.save` does, and pickles as nobody should.

use std::io::Write;

use flate2::write::DeflateEncoder;
use flate2::{Compression, Crc};

/// A pickle in the making.
#[derive(Debug, Clone)]
pub struct Pickle {
    pub bytes: Vec<u8>,
    protocol: u8,
}

impl Pickle {
    pub fn new(protocol: u8) -> Pickle {
        let mut bytes = vec![0x80, protocol];
        if protocol >= 4 {
            bytes.push(0x95);
            bytes.extend(0u64.to_le_bytes());
        }
        Pickle { bytes, protocol }
    }
    pub fn op(mut self, code: u8) -> Pickle {
        self.bytes.push(code);
        self
    }
    pub fn raw(mut self, bytes: &[u8]) -> Pickle {
        self.bytes.extend_from_slice(bytes);
        self
    }
    pub fn text(self, text: &str) -> Pickle {
        if self.protocol >= 4 && text.len() < 256 {
            return self.op(0x8c).op(text.len() as u8).raw(text.as_bytes());
        }
        self.op(b'X').raw(&(text.len() as u32).to_le_bytes()).raw(text.as_bytes())
    }
    pub fn int(self, v: i64) -> Pickle {
        match v {
            0..256 => self.op(b'K').op(v as u8),
            256..65536 => self.op(b'M').raw(&(v as u16).to_le_bytes()),
            _ if i32::try_from(v).is_ok() => self.op(b'J').raw(&(v as i32).to_le_bytes()),
            _ => self.op(0x8a).op(8).raw(&v.to_le_bytes()),
        }
    }
    pub fn global(self, module: &str, name: &str) -> Pickle {
        if self.protocol >= 4 {
            return self.text(module).op(0x94).text(name).op(0x94).op(0x93);
        }
        self.op(b'c').raw(format!("{module}\n{name}\n").as_bytes())
    }
    pub fn tuple(mut self, items: &[i64]) -> Pickle {
        self = self.op(b'(');
        for i in items {
            self = self.int(*i);
        }
        self.op(b't')
    }
    pub fn ordered_dict(self) -> Pickle {
        self.global("collections", "OrderedDict").op(b')').op(b'R')
    }
    /// A tensor's description; `view` for the older form.
    pub fn tensor(mut self, a: &Array, legacy: bool) -> Pickle {
        if a.parameter {
            self = self.global("torch._utils", "_rebuild_parameter").op(b'(');
        }
        self = self.global("torch._utils", "_rebuild_tensor_v2").op(b'(').op(b'(').text("storage");
        self = self.global("torch", a.class).text(&a.key).text("cpu").int(a.length);
        if legacy {
            self = match a.view {
                None => self.op(b'N'),
                Some((first, n)) => self.op(b'(').text("view").int(first).int(n).op(b't'),
            };
        }
        self = self.op(b't').op(b'Q').int(a.offset).tuple(&a.shape).tuple(&a.strides).op(0x89).ordered_dict();
        self = self.op(b't').op(b'R');
        if a.parameter {
            self = self.op(0x88).ordered_dict().op(b't').op(b'R');
        }
        self
    }
    pub fn stop(self) -> Vec<u8> {
        self.op(b'.').bytes
    }
}

/// An array of a checkpoint, with every part of its description open to lies.
#[derive(Debug, Clone)]
pub struct Array {
    pub name: String,
    pub class: &'static str,
    pub key: String,
    /// Values of the storage.
    pub length: i64,
    pub bytes: Vec<u8>,
    pub offset: i64,
    pub shape: Vec<i64>,
    pub strides: Vec<i64>,
    pub view: Option<(i64, i64)>,
    pub parameter: bool,
}

impl Array {
    pub fn new(name: &str, class: &'static str, shape: &[i64], bytes: Vec<u8>) -> Array {
        let mut strides = vec![1; shape.len()];
        for d in (1..shape.len()).rev() {
            strides[d - 1] = strides[d] * shape[d];
        }
        Array {
            name: name.to_string(),
            class,
            key: String::new(),
            length: shape.iter().product(),
            bytes,
            offset: 0,
            shape: shape.to_vec(),
            strides,
            view: None,
            parameter: false,
        }
    }
    pub fn floats(name: &str, shape: &[i64], values: &[f32]) -> Array {
        Array::new(name, "FloatStorage", shape, values.iter().flat_map(|v| v.to_le_bytes()).collect())
    }
    pub fn counter(name: &str, value: i64) -> Array {
        Array::new(name, "LongStorage", &[], value.to_le_bytes().to_vec())
    }
}

/// The dictionary of the arrays, inside dictionaries of these keys; each has an `epoch` beside.
pub fn state_dict(arrays: &[Array], protocol: u8, inside: &[&str], legacy: bool) -> Vec<u8> {
    let mut p = Pickle::new(protocol);
    for key in inside {
        p = p.op(b'}').op(b'(').text("epoch").int(3).text(key);
    }
    p = p.ordered_dict().op(b'(');
    for a in arrays {
        p = p.text(&a.name).tensor(a, legacy);
    }
    // The versions of the modules, as attributes of the dictionary.
    p = p.op(b'u').op(b'}').text("_metadata").ordered_dict().op(b's').op(b'b');
    for _ in inside {
        p = p.op(b'u');
    }
    p.stop()
}

/// Keys 0, 1, ... for arrays without one.
pub fn with_keys(arrays: &[Array]) -> Vec<Array> {
    let mut out = arrays.to_vec();
    for (i, a) in out.iter_mut().enumerate().filter(|(_, a)| a.key.is_empty()) {
        a.key = i.to_string();
    }
    out
}

/// Storages by key, each once, in order.
fn storages(arrays: &[Array]) -> Vec<(&str, &Array)> {
    let mut out: Vec<(&str, &Array)> = Vec::new();
    for a in arrays {
        if !out.iter().any(|(k, _)| *k == a.key) {
            out.push((&a.key, a));
        }
    }
    out
}

/// The zip form.
pub fn zipped(arrays: &[Array]) -> Vec<u8> {
    let arrays = with_keys(arrays);
    zip(&records(&state_dict(&arrays, 2, &[], false), &arrays))
}

/// The records of a checkpoint.
pub fn records(pickle: &[u8], arrays: &[Array]) -> Vec<Record> {
    let mut out = vec![Record::new("archive/data.pkl", pickle), Record::new("archive/byteorder", b"little")];
    out.extend(storages(arrays).into_iter().map(|(k, a)| Record::new(&format!("archive/data/{k}"), &a.bytes)));
    out.push(Record::new("archive/version", b"3\n"));
    out
}

/// The older form.
pub fn legacy(arrays: &[Array]) -> Vec<u8> {
    let arrays = with_keys(arrays);
    let mut out = legacy_head(true);
    out.extend(state_dict(&arrays, 2, &[], true));
    out.extend(legacy_keys(&storages(&arrays).iter().map(|(k, _)| *k).collect::<Vec<_>>()));
    for (_, a) in storages(&arrays) {
        out.extend(a.length.to_le_bytes());
        out.extend(&a.bytes);
    }
    out
}

/// Magic, version, machine.
pub fn legacy_head(little: bool) -> Vec<u8> {
    let magic = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
    let mut out = Pickle::new(2).op(0x8a).op(10).raw(&magic).stop();
    out.extend(Pickle::new(2).int(1001).stop());
    let machine = Pickle::new(2).op(b'}').op(b'(').text("protocol_version").int(1001).text("little_endian");
    out.extend(machine.op(if little { 0x88 } else { 0x89 }).op(b'u').stop());
    out
}

pub fn legacy_keys(keys: &[&str]) -> Vec<u8> {
    let mut p = Pickle::new(2).op(b']').op(b'(');
    for k in keys {
        p = p.text(k);
    }
    p.op(b'e').stop()
}

/// A record of a zip archive.
#[derive(Debug, Clone)]
pub struct Record {
    pub name: String,
    pub method: u16,
    pub flags: u16,
    pub stored: Vec<u8>,
    pub size: u32,
    pub crc: u32,
}

impl Record {
    pub fn new(name: &str, data: &[u8]) -> Record {
        let mut crc = Crc::new();
        crc.update(data);
        let (size, crc) = (data.len() as u32, crc.sum());
        // As PyTorch: sizes in the directory and behind the data, names in UTF-8.
        Record { name: name.to_string(), method: 0, flags: 0x808, stored: data.to_vec(), size, crc }
    }
    pub fn deflated(mut self) -> Record {
        let mut e = DeflateEncoder::new(Vec::new(), Compression::default());
        e.write_all(&self.stored).unwrap();
        self.stored = e.finish().unwrap();
        self.method = 8;
        self
    }
}

/// A zip archive; local headers have 64-byte aligned data, as PyTorch's.
pub fn zip(records: &[Record]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut directory = Vec::new();
    for r in records {
        let at = out.len() as u32;
        let padding = (64 - (out.len() + 30 + r.name.len() + 4) % 64) % 64;
        out.extend(b"PK\x03\x04\x00\x00");
        out.extend(r.flags.to_le_bytes());
        out.extend(r.method.to_le_bytes());
        out.extend([0; 16]);
        out.extend((r.name.len() as u16).to_le_bytes());
        out.extend((padding as u16 + 4).to_le_bytes());
        out.extend(r.name.as_bytes());
        out.extend(b"FB");
        out.extend((padding as u16).to_le_bytes());
        out.extend(vec![b'Z'; padding]);
        out.extend(&r.stored);
        out.extend(b"PK\x07\x08");
        for v in [r.crc, r.stored.len() as u32, r.size] {
            out.extend(v.to_le_bytes());
        }
        directory.extend(b"PK\x01\x02\x00\x00\x00\x00");
        directory.extend(r.flags.to_le_bytes());
        directory.extend(r.method.to_le_bytes());
        directory.extend([0; 4]);
        for v in [r.crc, r.stored.len() as u32, r.size] {
            directory.extend(v.to_le_bytes());
        }
        directory.extend((r.name.len() as u16).to_le_bytes());
        directory.extend([0; 12]);
        directory.extend(at.to_le_bytes());
        directory.extend(r.name.as_bytes());
    }
    let (start, n) = (out.len() as u32, records.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\x00\x00\x00\x00");
    out.extend(n.to_le_bytes());
    out.extend(n.to_le_bytes());
    out.extend((directory.len() as u32).to_le_bytes());
    out.extend(start.to_le_bytes());
    out.extend([0; 2]);
    out
}
