//! `autobidet-bindgen engine.wasm FOLDER`: the JavaScript around a module, as `wasm-bindgen --target web` makes it. The crate
//! behind that command takes a minute to build, the command itself several.

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(wasm), Some(folder), None) = (args.next(), args.next(), args.next()) else {
        eprintln!("usage: autobidet-bindgen engine.wasm FOLDER");
        std::process::exit(2);
    };
    let mut bindgen = wasm_bindgen_cli_support::Bindgen::new();
    let made = bindgen.input_path(&wasm).out_name("engine").typescript(false).web(true).and_then(|b| b.generate(&folder));
    if let Err(e) = made {
        eprintln!("{wasm}: {e:#}");
        std::process::exit(1);
    }
}
