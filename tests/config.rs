//! The method in a configuration file: a name, or a table of parts.

use autobidet::config::{Beta, Binarization, InformationBottleneck, Method, Prior, RunConfig};

/// The method of a file of this text, or the error's.
fn method(text: &str) -> Result<Method, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    std::fs::write(&path, text).unwrap();
    RunConfig::read(&path).map(|c| c.model.method).map_err(|e| e.to_string())
}

#[test]
fn methods_by_name() {
    for (name, want) in Method::NAMED {
        assert_eq!(method(&format!("[model]\nmethod = \"{name}\"\n")).unwrap(), want, "{name}");
        assert_eq!(name.parse::<Method>().unwrap(), want);
        assert_eq!(want.to_string(), name);
        // As a run folder keeps it: every part written out.
        let mut c = RunConfig::default();
        c.model.method = want;
        let text = c.to_toml().unwrap();
        assert!(text.contains("[model.method]") && text.contains("information_bottleneck = "), "{text}");
        assert_eq!(method(&text).unwrap(), want, "{name}");
    }
    assert_eq!(method("").unwrap(), Method::named("bidet-sc").unwrap());
}

#[test]
fn methods_by_parts() {
    let all = method(
        "[model.method]\nbinarization = \"xnor\"\nshortcut = true\ninformation_bottleneck = \"pre-norm\"\n\
         prior = \"c-sop-excess\"\nbeta = \"vae-reversed\"\n",
    )
    .unwrap();
    let want = Method {
        binarization: Binarization::Xnor,
        shortcut: true,
        information_bottleneck: InformationBottleneck::PreNorm,
        prior: Prior::CSopExcess,
        beta: Beta::VaeReversed,
    };
    assert_eq!(all, want);
    // What is left out: no extra terms, and the shortcuts that the binarization usually has.
    for name in ["float", "bireal", "xnor"] {
        let want = Method::named(name).unwrap();
        let word = if name == "bireal" { "bi-real" } else { name };
        assert_eq!(method(&format!("[model.method]\nbinarization = \"{word}\"\n")).unwrap(), want);
        assert_eq!(method(&format!("[model]\nmethod = {{ binarization = \"{word}\" }}\n")).unwrap(), want);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    for (text, line, parts) in [
        ("[model]\nname = \"tiny\"\nmethod = \"bi-det\"\n", 3, &["no method \"bi-det\"", "bidet-sc, bireal+ib"][..]),
        ("[model]\nmethod = 3\n", 2, &["a method's name (float, xnor, ", "or a table of its parts"]),
        ("[model.method]\nbinarization = \"bireal\"\n", 1, &["unknown variant `bireal`", "`bi-real`"]),
        ("[model.method]\nbinarization = \"float\"\nshortcuts = true\n", 1, &["unknown field `shortcuts`"]),
        ("[model.method]\nshortcut = true\n", 1, &["missing field `binarization`"]),
    ] {
        let error = method(text).unwrap_err();
        assert!(error.contains(&format!("run.toml:{line}: ")), "{error}");
        assert!(parts.iter().all(|p| error.contains(p)), "{error}");
    }
    let error = "bi-det".parse::<Method>().unwrap_err().to_string();
    assert!(error.contains("--method") && error.contains("bidet-sc"), "{error}");
}
