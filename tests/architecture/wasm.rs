//! What a WebAssembly module imports (WebAssembly Core Specification 2.0, section 5.5.5).

/// An import: its module, and its name there.
pub type Import = (String, String);

/// Section id of the imports.
const IMPORT_SECTION: u8 = 2;

/// Returns the imports of a module, in order.
///
/// # Panics
/// If the bytes are no module.
pub fn imports(module: &[u8]) -> Vec<Import> {
    let mut rest = module
        .strip_prefix(b"\0asm\x01\0\0\0")
        .expect("a WebAssembly module, version 1");
    while let Some((&id, body)) = rest.split_first() {
        rest = body;
        let length = number(&mut rest);
        let (mut section, after) = rest.split_at(length);
        if id == IMPORT_SECTION {
            return (0..number(&mut section))
                .map(|_| import(&mut section))
                .collect();
        }
        rest = after;
    }
    Vec::new()
}

fn import(section: &mut &[u8]) -> Import {
    let import = (name(section), name(section));
    match byte(section) {
        // A function: the index of its type.
        0 => {
            number(section);
        }
        // A table: type of its elements, and limits.
        1 => {
            byte(section);
            limits(section);
        }
        // A memory: limits.
        2 => limits(section),
        // A global: its type, and whether it can change.
        3 => {
            byte(section);
            byte(section);
        }
        kind => panic!("an import of unknown kind {kind}"),
    }
    import
}

fn limits(section: &mut &[u8]) {
    let has_maximum = byte(section) & 1 == 1;
    number(section);
    if has_maximum {
        number(section);
    }
}

fn name(section: &mut &[u8]) -> String {
    let length = number(section);
    let (name, rest) = section.split_at(length);
    *section = rest;
    String::from_utf8(name.to_vec()).expect("names are UTF-8")
}

fn byte(section: &mut &[u8]) -> u8 {
    let (&byte, rest) = section.split_first().expect("the section goes on");
    *section = rest;
    byte
}

/// An unsigned LEB128 number.
fn number(section: &mut &[u8]) -> usize {
    let mut value = 0_usize;
    for shift in (0..).step_by(7) {
        let byte = byte(section);
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}
