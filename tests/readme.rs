//! README.md's table of operations, made from the kernel table. After a change:
//! `AUTOBIDET_BLESS=1 cargo test --release --test tests readme`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use autobidet::ops;
use autobidet::testing::adapters::{ADAPTERS, adapter};

const BEGIN: &str = "<!-- operations: made by tests/readme.rs -->\n";
const END: &str = "<!-- /operations -->";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path.as_ref()).unwrap_or_else(|e| panic!("{}: {e}", path.as_ref().display()))
}

fn rust_files(folder: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(root().join(folder)).unwrap().map(|f| f.unwrap().path());
    let mut files: Vec<_> = files.filter(|f| f.extension().is_some_and(|e| e == "rs")).collect();
    files.sort();
    files
}

/// The names of the modules in the kernel table, in its order: `KERNELS` itself does not carry them.
fn modules() -> Vec<String> {
    let text = read(root().join("src/ops/mod.rs"));
    text.lines().filter_map(|l| Some(l.strip_prefix("    ")?.strip_suffix("::KERNELS,")?.to_string())).collect()
}

/// The file of every twin by its name.
fn twins() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for file in rust_files("src/cpu") {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        for line in read(&file).lines() {
            let name = line.strip_prefix("pub fn ").and_then(|l| l.split(['(', '<']).next());
            if let Some(name) = name {
                found.insert(name.to_string(), stem.clone());
            }
        }
    }
    found
}

/// The documentation of a module, without links.
fn documentation(module: &str) -> String {
    let text = read(root().join(format!("src/ops/{module}.rs")));
    let doc: Vec<&str> = text.lines().map_while(|l| l.strip_prefix("//!")).map(str::trim).collect();
    doc.join(" ").replace("[`", "`").replace("`]", "`")
}

/// Its first sentence, without citations in parentheses.
fn purpose(doc: &str) -> String {
    let mut out = String::new();
    for part in doc.split(" (") {
        out.push_str(if out.is_empty() { part } else { part.split_once(')').map_or("", |(_, rest)| rest) });
    }
    let sentence = out.split_once(". ").map_or(out.as_str(), |(first, _)| first);
    sentence.trim_end_matches('.').to_string()
}

fn code(names: &[&str]) -> String {
    if names.is_empty() {
        return "-".to_string();
    }
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" ")
}

fn table() -> String {
    let (names, twins) = (modules(), twins());
    assert_eq!(names.len(), ops::KERNELS.len(), "rows of KERNELS in src/ops/mod.rs, one a line");
    let own: Vec<_> = ADAPTERS.iter().flat_map(|a| (a.own)()).map(|o| o.op).collect();
    let mut out = String::from(
        "| operation | what | forward kernels | backward kernels | CPU twins | case files | own cases |\n\
         |---|---|---|---|---|---|---|\n",
    );
    let mut parts = String::new();
    let mut row = |module: &str, forward: &[&str], backward: &[&str], twin: &str| {
        let doc = documentation(module);
        if doc.contains("Not an operation of its own") {
            let (what, kernels) = (purpose(&doc), code(forward));
            writeln!(parts, "| [{module}](src/ops/{module}.rs) | {what} | {kernels} | {twin} |").unwrap();
            return;
        }
        // The operations that case files know by this module's name or by that of one of its kernels.
        let mut ops = vec![module];
        ops.extend(forward.iter().filter(|k| **k != module));
        let files = ops.iter().filter(|o| adapter(o).is_some()).count();
        let own = own.iter().filter(|o| ops.contains(o)).count();
        let files = if files > 0 { "yes" } else { "-" };
        let own = if own > 0 { own.to_string() } else { "-".to_string() };
        let (mut forward, mut backward) = (code(forward), code(backward));
        if doc.contains("no kernels of its own") {
            forward = format!("those of `conv2d` {forward}").replace(" -", "");
            backward = "those of `conv2d`".to_string();
        }
        let what = purpose(&doc);
        writeln!(
            out,
            "| [{module}](src/ops/{module}.rs) | {what} | {forward} | {backward} | {twin} | {files} | {own} |"
        )
        .unwrap();
    };
    for (module, kernels) in names.iter().zip(ops::KERNELS) {
        let mut files: Vec<&str> = Vec::new();
        for k in *kernels {
            let file = twins.get(k.name).unwrap_or_else(|| panic!("{}: no `pub fn {0}` in src/cpu", k.name));
            if !files.contains(&file.as_str()) {
                files.push(file);
            }
        }
        let twin: Vec<String> = files.iter().map(|f| format!("[{f}](src/cpu/{f}.rs)")).collect();
        let (backward, forward): (Vec<&str>, Vec<&str>) =
            kernels.iter().map(|k| k.name).partition(|n| n.contains("_d_"));
        row(module, &forward, &backward, &twin.join(" "));
    }
    // Operations that are made of other ones' kernels alone.
    for file in rust_files("src/ops") {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        if !names.contains(&stem) && read(&file).contains("impl Op for") {
            row(&stem, &[], &[], "-");
        }
    }
    format!("{out}\nWhat several of them use:\n\n| part | what | kernels | CPU twins |\n|---|---|---|---|\n{parts}")
}

#[test]
fn the_table_of_operations_is_up_to_date() {
    let (file, want) = (root().join("README.md"), table());
    let text = read(&file);
    let (before, rest) = text.split_once(BEGIN).expect("README.md has no beginning of the table");
    let (got, after) = rest.split_once(END).expect("README.md has no end of the table");
    if std::env::var_os("AUTOBIDET_BLESS").is_some() {
        std::fs::write(&file, format!("{before}{BEGIN}{want}{END}{after}")).unwrap();
        return;
    }
    assert!(got == want, "README.md's table is old; run the tests with AUTOBIDET_BLESS=1 and commit it");
}

/// Links between documents lead to files that are there.
#[test]
fn links_of_the_documents_lead_somewhere() {
    let mut documents = vec![root().join("README.md")];
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|f| f.unwrap().path());
    documents.extend(docs.filter(|f| f.extension().is_some_and(|e| e == "md")));
    let (mut dead, mut seen) = (Vec::new(), 0);
    for document in documents {
        for link in read(&document).split("](").skip(1).filter_map(|l| l.split([')', '#']).next()) {
            if link.is_empty() || link.contains("://") {
                continue;
            }
            seen += 1;
            if !document.parent().unwrap().join(link).exists() {
                dead.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(dead.is_empty() && seen > 10, "{seen} links, dead: {dead:#?}");
}
