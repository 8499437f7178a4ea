//! Batches: order, determinism, resume, errors, and the end of the threads.

use super::{Voc, noted, says};
use autobidet::data::rng::shuffled;
use autobidet::data::{
    Augment, Batch, Dataset, Loader, LoaderOptions, Normalization, Preprocess, Sample, VocWriter, image_file,
    open_with, scenes,
};
use autobidet::detect::BBox;
use std::sync::Arc;
use std::time::Duration;

const INPUT: Preprocess = Preprocess { size: 24, normalization: Normalization::SymmetricUnit };

/// Eleven images of different sizes; number 4 has no boxes.
fn eleven() -> (Voc, Arc<Dataset>) {
    let voc = Voc::new();
    let ids: Vec<String> = (0..11).map(|i| format!("im{i:02}")).collect();
    for (i, id) in ids.iter().enumerate() {
        let boxes = [("dog", [5.0, 4.0, 25.0, 20.0 + i as f32]), ("cat", [12.0, 11.0, 31.0, 30.0])];
        voc.image(id, 40 + i as u32 * 3, 50 - i as u32 * 2, if i == 4 { &[] } else { &boxes });
    }
    voc.list("train", &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let set = Arc::new(voc.open("train").unwrap());
    (voc, set)
}

type Targets = (usize, Vec<BBox>, Vec<usize>);

fn targets(sample: &Sample) -> Targets {
    (sample.index, sample.boxes.to_vec(), sample.labels.to_vec())
}

fn options(batch: usize, threads: usize) -> LoaderOptions {
    LoaderOptions { batch, threads, cache_mb: 1, seed: 7, ..LoaderOptions::default() }
}

fn run(set: &Arc<Dataset>, augment: &Augment, options: LoaderOptions, step: u64, count: usize) -> Vec<Batch<Targets>> {
    Loader::train(set.clone(), INPUT, augment.clone(), options, step, targets)
        .unwrap()
        .take(count)
        .map(Result::unwrap)
        .collect()
}

#[test]
fn batches_are_bit_equal_for_any_threads_and_from_any_step() {
    let (_voc, set) = eleven();
    let augment = Augment::ssd();
    let all = run(&set, &augment, options(3, 1), 0, 10);
    for (threads, ahead, cache_mb) in [(2, 1, 0), (5, 4, 1), (5, 20, 0)] {
        let other = run(&set, &augment, LoaderOptions { ahead, cache_mb, ..options(3, threads) }, 0, 10);
        assert_eq!(all, other);
    }
    for start in [1, 4, 7] {
        assert_eq!(all[start..], run(&set, &augment, options(3, 2), start as u64, 10 - start), "from step {start}");
    }
    assert_ne!(all[0].images, run(&set, &augment, LoaderOptions { seed: 8, ..options(3, 2) }, 0, 1)[0].images);
}

#[test]
fn an_epoch_is_the_seeded_shuffle_in_whole_batches() {
    let (_voc, set) = eleven();
    let batches = run(&set, &Augment::light(), options(3, 2), 0, 9);
    for epoch in 0..3 {
        let order = shuffled(7, epoch as u64, 11);
        let seen: Vec<usize> = batches[epoch * 3..epoch * 3 + 3].iter().flat_map(|b| b.indices.clone()).collect();
        assert_eq!(seen, order[..9], "eleven images are three batches of three");
        assert!(batches[epoch * 3..epoch * 3 + 3].iter().all(|b| b.epoch == epoch as u64));
    }
    for (i, batch) in batches.iter().enumerate() {
        assert_eq!((batch.step, batch.images.len(), batch.targets.len()), (i as u64, 3 * INPUT.floats(), 3));
        for (k, (index, boxes, labels)) in batch.targets.iter().enumerate() {
            assert_eq!((*index, boxes.len()), (batch.indices[k], labels.len()));
            assert_eq!(batch.ids[k], set.images[*index].id);
            assert_eq!(batch.sizes[k], (set.images[*index].width, set.images[*index].height));
            assert!(boxes.is_empty() == (*index == 4));
        }
    }
}

#[test]
fn without_augmentation_training_sees_what_evaluation_sees() {
    let (_voc, set) = eleven();
    let train = run(&set, &Augment::none(), options(3, 2), 0, 3);
    let eval: Vec<_> = Loader::eval(set.clone(), INPUT, options(4, 2), targets).unwrap().map(Result::unwrap).collect();
    assert_eq!(eval.iter().map(|b| b.indices.len()).collect::<Vec<_>>(), [4, 4, 3], "the last batch is short");
    assert_eq!(eval.iter().flat_map(|b| b.indices.clone()).collect::<Vec<_>>(), (0..11).collect::<Vec<_>>());
    for batch in &train {
        for (k, &index) in batch.indices.iter().enumerate() {
            let floats = INPUT.floats();
            let (there, at) = (&eval[index / 4], index % 4);
            assert_eq!(batch.images[k * floats..(k + 1) * floats], there.images[at * floats..(at + 1) * floats]);
            assert_eq!(batch.targets[k], there.targets[at]);
        }
    }
    // And that is the shared preprocessing, with VOC's origin taken off the boxes.
    let image = image_file::read(&_voc.path().join("JPEGImages/im02.jpg"), None).unwrap().image;
    assert_eq!(eval[0].images[2 * INPUT.floats()..3 * INPUT.floats()], INPUT.eval(&image));
    let b = eval[0].targets[2].1[0];
    let want = [4.0 / 46.0, 3.0 / 46.0, 24.0 / 46.0, 21.0 / 46.0];
    assert!([b.xmin, b.ymin, b.xmax, b.ymax].iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{b:?}");
}

#[test]
fn an_image_that_cannot_be_decoded_is_replaced_in_training_and_missed_in_evaluation() {
    let (voc, set) = eleven();
    let path = voc.path().join("JPEGImages/im03.jpg");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    std::fs::remove_file(voc.path().join("JPEGImages/im10.jpg")).unwrap();
    image::GrayImage::new(40, 50).save(voc.path().join("JPEGImages/im00.jpg")).unwrap();
    super::picture(31, 32, 5).save(voc.path().join("JPEGImages/im01.jpg")).unwrap();

    let mut loader = Loader::train(set.clone(), INPUT, Augment::ssd(), options(11, 3), 0, targets).unwrap();
    let batch = loader.next().unwrap().unwrap();
    let order = shuffled(7, 0, 11);
    let want: Vec<usize> = order
        .iter()
        .map(|&i| {
            if i == 3 {
                4
            } else if i == 10 {
                0
            } else {
                i
            }
        })
        .collect();
    assert_eq!(batch.indices, want, "the next image that can be decoded stands in");
    assert!(batch.readable.iter().all(|&r| r));
    loader.next().unwrap().unwrap();
    let notes = loader.notes();
    assert_eq!(noted(&notes, "cannot be decoded"), 2, "each image counts once: {notes:?}");
    assert_eq!((noted(&notes, "grey image"), noted(&notes, "another size")), (1, 1), "{notes:?}");
    let again =
        Loader::train(set.clone(), INPUT, Augment::ssd(), options(11, 1), 0, targets).unwrap().next().unwrap().unwrap();
    assert_eq!(batch, again);

    let mut loader = Loader::eval(set.clone(), INPUT, options(11, 2), targets).unwrap();
    let batch = loader.next().unwrap().unwrap();
    let unreadable: Vec<usize> = (0..11).filter(|&i| !batch.readable[i]).collect();
    assert_eq!(unreadable, [3, 10]);
    assert!(batch.images[3 * INPUT.floats()..4 * INPUT.floats()].iter().all(|&v| v == 0.0));
    assert_eq!(batch.sizes[1], (31, 32), "the size is the image's own");
    assert!(loader.next().is_none());

    for id in 0..11 {
        std::fs::write(voc.path().join(format!("JPEGImages/im{id:02}.jpg")), b"GIF89a").unwrap();
    }
    let mut loader = Loader::train(set, INPUT, Augment::ssd(), options(2, 2), 0, targets).unwrap();
    says(loader.next().unwrap(), &["GIF"]);
    assert!(loader.next().is_none(), "the first error ends the loader");
}

#[test]
fn difficult_and_crowd_objects_are_targets_only_when_asked_for() {
    let (_voc, set) = eleven();
    let mut set = (*set).clone();
    for image in &mut set.images {
        for (k, object) in image.objects.iter_mut().enumerate() {
            (object.difficult, object.crowd) = (k == 0, k == 1);
        }
    }
    let set = Arc::new(set);
    let count = |difficult: bool, crowd: bool| {
        let options = LoaderOptions { difficult, crowd, ..options(11, 2) };
        let batch =
            Loader::eval(set.clone(), INPUT, options, |s: &Sample| s.boxes.len()).unwrap().next().unwrap().unwrap();
        batch.targets.iter().sum::<usize>()
    };
    assert_eq!([count(false, false), count(true, false), count(false, true), count(true, true)], [0, 10, 10, 20]);
    says(
        Loader::train(set.clone(), INPUT, Augment::none(), options(2, 1), 0, targets).map(|_| ()),
        &["no box that can be a target"],
    );
}

#[test]
fn impossible_settings_are_errors() {
    let (_voc, set) = eleven();
    let train = |options: LoaderOptions, size: u32| {
        Loader::train(set.clone(), Preprocess { size, ..INPUT }, Augment::none(), options, 0, targets).map(|_| ())
    };
    says(train(options(12, 1), 24), &["has 11 images, fewer than one batch of 12", "Use a batch of 11 or less"]);
    says(train(options(0, 1), 24), &["batch"]);
    says(train(options(2, 1), 0), &["size"]);
}

#[test]
fn a_panic_in_the_closure_is_an_error_of_the_consumer() {
    let (_voc, set) = eleven();
    let closure = |s: &Sample| {
        assert!(s.index != 9, "bad sample {}", s.index);
        s.index
    };
    let mut loader = Loader::train(set.clone(), INPUT, Augment::none(), options(1, 3), 0, closure).unwrap();
    let at = shuffled(7, 0, 11).iter().position(|&i| i == 9).unwrap();
    for _ in 0..at {
        loader.next().unwrap().unwrap();
    }
    says(loader.next().unwrap(), &["loader thread panicked", "bad sample 9"]);
    assert!(loader.next().is_none());
}

#[test]
fn dropping_the_loader_ends_its_threads_whatever_they_do() {
    let (_voc, set) = eleven();
    for (taken, slow) in [(0, 0), (1, 0), (0, 3), (2, 3)] {
        let alive = Arc::new(());
        let held = alive.clone();
        let closure = move |s: &Sample| {
            let _held = &held;
            std::thread::sleep(Duration::from_millis(slow));
            s.index
        };
        let mut loader = Loader::train(set.clone(), INPUT, Augment::none(), options(2, 5), 0, closure).unwrap();
        for _ in 0..taken {
            loader.next().unwrap().unwrap();
        }
        drop(loader);
        assert_eq!(Arc::strong_count(&alive), 1, "a thread still holds the closure");
    }
}

#[test]
fn the_share_of_waiting_is_measured() {
    let (_voc, set) = eleven();
    let slow = |s: &Sample| {
        std::thread::sleep(Duration::from_millis(20));
        s.index
    };
    let mut loader = Loader::train(set.clone(), INPUT, Augment::none(), options(2, 1), 0, slow).unwrap();
    assert_eq!(loader.wait_share(), 0.0);
    for _ in 0..3 {
        loader.next().unwrap().unwrap();
    }
    assert!(loader.wait_share() > 0.5, "{}", loader.wait_share());
    assert_eq!((loader.step(), loader.batches()), (3, 5));
    let mut loader = Loader::train(set, INPUT, Augment::none(), options(2, 2), 0, targets).unwrap();
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(100));
        loader.next().unwrap().unwrap();
    }
    assert!(loader.wait_share() < 0.5, "{}", loader.wait_share());
}

#[test]
fn scenes_are_drawn_as_they_are_loaded_and_survive_a_voc_folder() {
    let spec = scenes::SceneSpec { seed: 3, width: 64, height: 48 };
    let set = Arc::new(scenes::train(&spec, 6));
    let eval = |set: &Arc<Dataset>, threads: usize| -> Batch<Targets> {
        Loader::eval(set.clone(), INPUT, options(6, threads), targets).unwrap().next().unwrap().unwrap()
    };
    let drawn = eval(&set, 2);
    assert_eq!(drawn, eval(&set, 1));
    assert_eq!(drawn.images[..INPUT.floats()], INPUT.eval(&scenes::draw(&spec, 0).0));
    assert!(drawn.targets.iter().all(|(_, boxes, _)| !boxes.is_empty()));

    let dir = tempfile::tempdir().unwrap();
    let mut writer = VocWriter::create(dir.path(), &set.classes).unwrap();
    for (index, record) in set.images.iter().enumerate() {
        let (image, objects) = scenes::draw(&spec, index as u64);
        assert_eq!(objects, record.objects);
        writer.add("train", &record.id, &image, &objects, set.origin).unwrap();
    }
    writer.finish().unwrap();
    let written = open_with(dir.path(), "train", Some(&set.classes)).unwrap();
    assert!(written.notes.is_empty(), "{:?}", written.notes);
    let read = eval(&Arc::new(written), 2);
    for ((_, a, a_labels), (_, b, b_labels)) in drawn.targets.iter().zip(&read.targets) {
        assert_eq!(a_labels, b_labels);
        for (a, b) in a.iter().zip(b) {
            assert!(
                [a.xmin - b.xmin, a.ymin - b.ymin, a.xmax - b.xmax, a.ymax - b.ymax].iter().all(|d| d.abs() < 1e-5)
            );
        }
    }
    let off: f32 = drawn.images.iter().zip(&read.images).map(|(a, b)| (a - b).abs()).sum();
    assert!(off / (drawn.images.len() as f32) < 0.03, "JPEG loses little: {}", off / drawn.images.len() as f32);
}
