//! `detect` on every kind of image file.

use crate::data::kinds;

use super::{arg, fails, trained, works};

#[test]
fn detect_takes_every_kind_of_image_or_says_why_not() {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("in"), dir.path().join("out"));
    std::fs::create_dir(&input).unwrap();
    let kinds = kinds::all();
    for kind in &kinds {
        std::fs::write(input.join(kind.file), &kind.bytes).unwrap();
    }
    // A folder is looked through for .jpg and .png; the GIF is named.
    let gif = input.join("animated.gif");
    let base = ["detect", "--weights", arg(trained()), "--device", "cpu", "--score", "0.999999", "--out", arg(&out)];
    let p = works(&[&base[..], &[arg(&input), arg(&gif)]].concat());
    let good = kinds.iter().filter(|k| k.want.is_ok()).count();
    assert!(p.err.contains(&format!("0 objects in {good} images")), "{p:?}");
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), good);
    for kind in &kinds {
        match &kind.want {
            Ok(_) => {
                // Nothing is drawn at such a score: what is written is what the network was given.
                let taken = kinds.iter().filter(|k| k.want.is_ok() && stem(k.file) == stem(kind.file));
                let found = (1..=taken.count()).any(|i| {
                    let name = if i == 1 { stem(kind.file).to_string() } else { format!("{}-{i}", stem(kind.file)) };
                    kind.agrees(&image::open(out.join(format!("{name}.png"))).unwrap().to_rgb8())
                });
                assert!(found, "{}", kind.file);
            }
            Err(parts) => {
                let line = p.err.lines().find(|l| l.starts_with("note: ") && l.contains(kind.file));
                let line = line.unwrap_or_else(|| panic!("{}: {p:?}", kind.file));
                for part in parts {
                    assert!(line.contains(part), "`{part}` is not in: {line}");
                }
                // By itself it ends the program.
                fails(&[&base[..], &[arg(&input.join(kind.file))]].concat(), 1, parts);
            }
        }
    }
}

fn stem(file: &str) -> &str {
    file.split('.').next().unwrap_or(file)
}
