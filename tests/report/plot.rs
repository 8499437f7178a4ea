//! Plots: well-formed whatever they are given, and right where it can be read off.

use autobidet::report::plot::axis::duration;
use autobidet::report::plot::axis::number;
use autobidet::report::plot::{
    BarChart, Chart, ClassCurve, Forest, ForestRow, HeatMap, Mark, Scale, Series, escape, precision_recall,
};
use quick_xml::Reader;
use quick_xml::events::Event;

/// Fails unless `xml` is one element, well-formed, with a title and without `NaN` or `inf` in it.
pub fn assert_well_formed(xml: &str) {
    let mut reader = Reader::from_str(xml);
    reader.config_mut().check_end_names = true;
    let mut depth = 0;
    loop {
        match reader.read_event() {
            Ok(Event::Start(e)) => {
                e.attributes().for_each(|a| assert!(a.is_ok(), "{a:?} in {xml}"));
                depth += 1;
            }
            Ok(Event::Empty(e)) => e.attributes().for_each(|a| assert!(a.is_ok(), "{a:?} in {xml}")),
            Ok(Event::End(_)) => depth -= 1,
            Ok(Event::Eof) => break,
            Ok(_) => {}
            Err(e) => panic!("{e} in {xml}"),
        }
    }
    assert_eq!(depth, 0, "{xml}");
    for attribute in ["d=\"", "x=\"", "y=\"", "cx=\"", "cy=\"", "width=\""] {
        for (i, _) in xml.match_indices(attribute) {
            let value = xml[i + attribute.len()..].split('"').next().unwrap();
            assert!(!value.contains("NaN") && !value.contains("inf"), "{attribute}{value}");
        }
    }
}

fn chart(points: Vec<(f64, f64)>) -> Chart {
    Chart::new("A title", "step", "loss").with(Series::line("total", points))
}

#[test]
fn any_series_makes_a_plot() {
    let (nan, inf) = (f64::NAN, f64::INFINITY);
    let cases: Vec<Vec<(f64, f64)>> = vec![
        vec![],
        vec![(0.0, 0.0)],
        vec![(nan, nan)],
        vec![(1.0, nan), (2.0, 1.0), (3.0, nan), (4.0, 2.0), (5.0, 3.0)],
        vec![(0.0, inf), (1.0, -inf), (inf, 2.0)],
        vec![(0.0, 1e308), (1.0, -1e308)],
        vec![(0.0, 1e-308), (1.0, 2e-308)],
        vec![(5.0, 7.0), (5.0, 7.0)],
        vec![(0.0, -3.0), (1.0, 0.0), (2.0, 4.0)],
        vec![(1e15, 1.0), (1e15 + 1.0, 1.0 + 1e-15)],
        (0..50_000).map(|i| (f64::from(i), f64::from(i % 7))).collect(),
    ];
    for points in cases {
        for scale in [Scale::Linear, Scale::Log] {
            for mark in [Mark::Line, Mark::Faint, Mark::Points] {
                for size in [(440, 270), (0, 0), (60, 2000)] {
                    let mut c = chart(points.clone());
                    c.series[0].mark = mark;
                    (c.x_scale, c.y_scale, c.size, c.last_values) = (scale, scale, size, true);
                    let svg = c.svg();
                    assert_well_formed(&svg);
                    assert!(svg.len() < 400_000, "{} bytes", svg.len());
                    let some = points
                        .iter()
                        .any(|p| [p.0, p.1].iter().all(|v| v.abs() < 1e300 && (scale == Scale::Linear || *v > 0.0)));
                    assert_eq!(!svg.contains(">no data<"), some, "{points:?} {scale:?}");
                }
            }
        }
    }
    for range in [(0.0, 0.0), (nan, 1.0), (2.0, 1.0), (-inf, inf)] {
        let mut c = chart(vec![(0.0, 1.0), (1.0, 2.0)]);
        (c.x_range, c.y_range) = (Some(range), Some(range));
        assert_well_formed(&c.svg());
    }
}

#[test]
fn gaps_split_the_line() {
    let svg = chart(vec![(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 2.0)]).fragment();
    let path = svg.split("class=\"line\"").nth(1).unwrap().split(" d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(path.matches('M').count(), 2, "{path}");
    // A point between two gaps has no line, so it is a dot.
    let svg = chart((0..100).map(|i| (f64::from(i), if i == 50 || i < 40 { 1.0 } else { f64::NAN })).collect()).svg();
    assert_eq!(svg.matches("<circle").count(), 1);
}

#[test]
fn thinning_keeps_peaks() {
    let mut points: Vec<(f64, f64)> = (0..100_000).map(|i| (f64::from(i), 1.0)).collect();
    points[54_321].1 = 9.0;
    let mut c = chart(points);
    c.y_range = Some((0.0, 9.0));
    let svg = c.fragment();
    let path = svg.split("class=\"line\"").nth(1).unwrap().split("d=\"").nth(1).unwrap().split('"').next().unwrap();
    let heights: Vec<f64> = path[1..].split('L').map(|p| p.split(' ').nth(1).unwrap().parse().unwrap()).collect();
    let (low, high) = (heights.iter().copied().fold(f64::MAX, f64::min), heights.iter().copied().fold(0.0, f64::max));
    assert!(heights.len() < 2500 && high - low > 150.0, "{} points, {low}..{high}", heights.len());
}

#[test]
fn smoothing_starts_at_the_data_and_keeps_gaps() {
    let raw = Series::line("s", vec![(0.0, 4.0), (1.0, 4.0), (2.0, f64::NAN), (3.0, 4.0)]);
    let [faint, smooth] = raw.smoothed(10.0);
    assert_eq!((faint.mark, smooth.mark), (Mark::Faint, Mark::Line));
    assert!((smooth.points[0].1 - 4.0).abs() < 1e-12 && smooth.points[2].1.is_nan());
    assert!((smooth.points[3].1 - 4.0).abs() < 1e-12);
}

#[test]
fn ticks_are_round_and_log_ticks_are_powers() {
    let svg = chart(vec![(0.0, 0.0), (2000.0, 0.83)]).fragment();
    for label in [">0<", ">0.2<", ">0.8<", ">1000<"] {
        assert!(svg.contains(label), "{label} in {svg}");
    }
    let mut c = chart(vec![(0.0, 1e-5), (10.0, 1e3)]);
    c.y_scale = Scale::Log;
    let svg = c.fragment();
    assert!(svg.contains(">100<") || svg.contains(">10<"), "{svg}");
}

#[test]
fn text_in_plots_is_escaped() {
    const BAD: &str = "<b>&\"'\u{1}</svg>";
    let mut c = Chart::new(BAD, BAD, BAD).with(Series::line(BAD, vec![(0.0, 1.0)]));
    c.series.push(Series::dots(BAD, vec![(0.0, 2.0)]));
    assert_well_formed(&c.svg());
    assert_well_formed(&BarChart::new(BAD, vec![(BAD.into(), 1.0)]).svg());
    assert_well_formed(&HeatMap::new(BAD, vec![BAD.into()], vec![BAD.into()], vec![1.0]).svg());
    assert_eq!(escape("a<b>&\"'\u{0}"), "a&lt;b&gt;&amp;&quot;&#39;");
}

#[test]
fn every_plot_has_a_title_and_a_description() {
    let pr =
        precision_recall("PR", vec![ClassCurve { name: "ring".into(), points: vec![(0.0, 1.0), (1.0, 0.2)], ap: 0.7 }]);
    let heat = HeatMap::new("Confusion", vec!["a".into()], vec!["a".into(), "b".into()], vec![1.0, f64::NAN]);
    for svg in [pr.svg(), chart(vec![]).svg(), BarChart::new("Bars", vec![]).svg(), heat.svg()] {
        assert!(svg.contains("<title id=") && svg.contains("<desc id=") && svg.contains("role=\"img\""), "{svg}");
        assert!(svg.contains("prefers-color-scheme:dark"));
    }
    // Two plots of a page do not share identifiers.
    let id = |svg: &str| svg.split("<title id=\"").nth(1).unwrap().split('"').next().unwrap().to_string();
    assert_ne!(id(&chart(vec![(0.0, 1.0)]).svg()), id(&chart(vec![(0.0, 1.0), (1.0, 2.0)]).svg()));
}

#[test]
fn bars_and_heat_maps_take_anything() {
    let values = [0.5, -1.0, f64::NAN, f64::INFINITY, 0.0, 1e308];
    for n in 0..=values.len() {
        let bars = values[..n].iter().enumerate().map(|(i, &v)| (format!("bar {i}"), v)).collect();
        assert_well_formed(&BarChart::new("Bars", bars).svg());
        let names: Vec<String> = (0..n).map(|i| format!("a rather long name {i}")).collect();
        assert_well_formed(&HeatMap::new("Heat", names.clone(), names, values[..n].to_vec()).svg());
    }
    let mut long = BarChart::new("AP", vec![("half".into(), 0.5)]);
    long.full = Some(1.0);
    let width = |svg: &str| -> f64 {
        svg.split("<rect").nth(1).unwrap().split("width=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    let half = width(&long.svg());
    long.bars[0].1 = 1.0;
    // The number beside the bar is shorter, which leaves the bar a little more room.
    assert!((width(&long.svg()) / half - 2.0).abs() < 0.15);
}

#[test]
fn forests_take_anything_and_keep_the_order_of_numbers() {
    let values = [0.5, -1.0, f64::NAN, f64::INFINITY, 0.0, 1e308];
    for n in 0..=values.len() {
        let row = |(i, &v): (usize, &f64)| ForestRow {
            name: format!("<row & {i}>"),
            value: v,
            interval: (i % 2 == 0).then_some([v, values[0]]),
            reference: (i % 3 == 0).then_some(-v),
        };
        assert_well_formed(&Forest::new("Forest", "x", values[..n].iter().enumerate().map(row).collect()).svg());
    }
    let row = ForestRow { name: "a".into(), value: 1.0, interval: Some([-1.0, 2.0]), reference: Some(3.0) };
    let svg = Forest::new("", "", vec![row]).svg();
    assert!(svg.contains("a 1 (-1 to 2), compared with 3"), "{svg}");
    // The dot lies a third from the end of its interval, the ring as far behind the end.
    let number = |text: &str, from: &str, to: char| -> f64 {
        let after = &text[text.find(from).unwrap() + from.len()..];
        after[..after.find(to).unwrap()].parse().unwrap()
    };
    let line = &svg[svg.find("class=\"line\"").unwrap()..];
    let (low, high) = (number(line, "d=\"M", ' '), number(line, "H", '"'));
    let marks: Vec<f64> = line.split("<circle ").skip(1).map(|c| number(c, "cx=\"", '"')).collect();
    let [dot, ring] = marks[..] else { panic!("{svg}") };
    assert!((dot - low - 2.0 * (high - dot)).abs() < 0.5, "{low} {dot} {high}");
    assert!((ring - high - (high - low) / 3.0).abs() < 0.5, "{ring}");
}

#[test]
fn numbers_read_well() {
    for (value, text) in [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (1.5, "1.5"),
        (-12.345, "-12.3"),
        (999.0, "999"),
        (1048.0, "1048"),
        (12_345.0, "12.3k"),
        (1_048_312.0, "1.05M"),
        (2.12e8, "212M"),
        (3e9, "3G"),
        (4.2e-7, "4.2e-7"),
        (f64::NAN, "–"),
        (1e20, "1.0e20"),
    ] {
        assert_eq!(number(value), text);
    }
    for (seconds, text) in [
        (0.34, "0.3 s"),
        (59.6, "1 min"),
        (61.0, "1 min 1 s"),
        (252.0, "4 min 12 s"),
        (7200.0, "2 h"),
        (90_000.0, "1 d 1 h"),
        (f64::NAN, "–"),
        (-1.0, "–"),
    ] {
        assert_eq!(duration(seconds), text);
    }
}

#[test]
fn a_log_axis_labels_its_decades() {
    let mut c = chart(vec![(0.0, 9.0), (900.0, 0.02)]);
    c.y_scale = Scale::Log;
    let svg = c.fragment();
    for label in [">1<", ">0.1<"] {
        assert!(svg.contains(label), "{label} in {svg}");
    }
}
