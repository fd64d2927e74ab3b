//! The public surface as one text, and pages that name parts of it.
//!
//! `tests/data/public_surface.txt` lists the public items of the crate. It is read as one text in a
//! review: one word for one thing, and the law of builders. After a change of the surface run
//! `PUBLIC_SURFACE=write cargo test --test arrows` and read the difference.
//!
//! The test reads the source by lines, which rustfmt has formatted. The lints `unreachable_pub` and
//! `unnameable_types` make sure that a `pub` item can be reached by users.

use std::{collections::BTreeMap, env, fmt::Write, fs, path::Path};

use super::{module_of, rust_files, source};

const LISTING: &str = "tests/data/public_surface.txt";

/// The items of one type, or of no type, in source order.
#[derive(Default)]
struct Type {
    /// `struct`, `enum`, `trait` or `type`, and the members that are public.
    head: Option<String>,
    functions: Vec<String>,
}

/// Types by module and name. The name is empty for functions outside of types.
#[derive(Default)]
struct Surface(BTreeMap<String, BTreeMap<String, Type>>);

#[test]
fn the_public_surface_is_the_listed_one() {
    let surface = Surface::of_the_crate().to_string();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(LISTING);
    if env::var_os("PUBLIC_SURFACE").is_some_and(|value| value == "write") {
        fs::write(path, surface).unwrap();
        return;
    }
    let listed = fs::read_to_string(path).unwrap();
    let missing = |from: &str, of: &str| {
        let lines: Vec<_> = of.lines().collect();
        from.lines().filter(|line| !lines.contains(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(
        surface == listed,
        "new: {:#?}\ngone: {:#?}\nRun `PUBLIC_SURFACE=write cargo test --test arrows` and read the \
         difference of {LISTING}.",
        missing(&surface, &listed),
        missing(&listed, &surface),
    );
}

#[test]
fn bounds_name_setters_that_exist() {
    let surface = Surface::of_the_crate();
    let page = fs::read_to_string(source().join("docs/bounds.md")).unwrap();
    let mut setters = 0;
    for row in page.lines().filter(|line| line.starts_with('|')) {
        let cell = row.rsplit('|').nth(1).unwrap().replace("`HttpsClient`'s `", "`");
        let Some((name, setter)) = cell.trim().trim_matches('`').split_once("::") else { continue };
        assert!(surface.has(name, setter), "{row}");
        setters += 1;
    }
    assert!(setters > 30, "{setters}");
}

#[test]
fn the_map_of_changes_names_files_that_exist() {
    let page = fs::read_to_string(source().join("../ARCHITECTURE.md")).unwrap();
    let (_, map) = page.split_once("## Where a change goes").unwrap();
    let (map, _) = map.split_once("\n## ").unwrap();
    let mut files = 0;
    for file in map.split('`').skip(1).step_by(2) {
        let path = if file.starts_with("tests/") { format!("../{file}") } else { file.to_owned() };
        assert!(source().join(path).exists(), "{file}");
        files += 1;
    }
    assert!(files > 10, "{files}");
}

#[test]
fn setters_follow_the_law_of_builders() {
    // Values with a getter of the plain name.
    const WITH: [&str; 3] = ["Rejection", "Target", "Identity"];
    for (name, function) in Surface::of_the_crate().functions() {
        if function.starts_with("const ") {
            continue;
        }
        let by_value = ["self", "mut self"].iter().any(|own| {
            let receiver = function.split_once('(').unwrap().1;
            receiver.starts_with(&format!("{own},")) || receiver.starts_with(&format!("{own})"))
        });
        let returns_itself = function.contains("-> Self") || function.contains("-> Result<Self");
        if !by_value || !returns_itself {
            continue;
        }
        // The edits of a transform are verbs.
        assert!(!function.contains("fn set_") || name == "TransformLayer", "{name}: {function}");
        assert!(!function.contains("fn with_") || WITH.contains(&name), "{name}: {function}");
        // A switch turns something on and takes no argument.
        assert!(!function.contains(": bool"), "{name}: {function}");
    }
}

#[test]
fn the_scan_sees_public_items_only() {
    let mut surface = Surface::default();
    surface.add(
        "a",
        "pub struct Layer {\n    pub open: u8,\n    own: u8,\n}\n\nimpl<S> Layer<S> {\n    pub const fn new(\n        \
         inner: S,\n        other: u8,\n    ) -> Self {\n        Self { inner }\n    }\n\n    \
         pub(crate) fn own() {}\n\n    #[doc(hidden)]\n    pub fn hidden() {}\n\n    inner_service_accessors!();\n}\n\n\
         impl Clone for Layer {\n    fn clone(&self) -> Self {}\n}\n\n\
         pub enum Kind {\n    /// One.\n    One,\n    Two(u8),\n}\n\n#[cfg(test)]\nmod tests {\n    pub fn no() {}\n}\n\n\
         pub trait Read: Send {\n    fn read(&self) -> u8;\n}\n\npub fn free() {}\n",
    );
    let expected = "\nmod a\n  fn free()\n  enum Kind { One, Two }\n  struct Layer { open }\n    \
                    fn new(inner: S, other: u8) -> Self\n    fn get_ref(&self) -> &S\n    \
                    fn get_mut(&mut self) -> &mut S\n    fn into_inner(self) -> S\n  \
                    trait Read\n    fn read(&self) -> u8\n";
    assert!(surface.to_string().ends_with(expected), "{surface}");
    assert!(surface.to_string().starts_with("3 types, 6 functions\n"), "{surface}");
}

impl Surface {
    fn of_the_crate() -> Self {
        let mut files = Vec::new();
        rust_files(&source(), &mut files);
        files.sort();
        let mut surface = Self::default();
        for file in files {
            let stem = file.file_stem().unwrap().to_str().unwrap();
            if stem != "tests" && !stem.ends_with("_tests") && stem != "lib" {
                surface.add(&module_of(&file), &fs::read_to_string(&file).unwrap());
            }
        }
        surface
    }

    fn add(&mut self, module: &str, code: &str) {
        let types = self.0.entry(module.to_owned()).or_default();
        let mut lines = code.lines().peekable();
        // The type that items belong to, and the indentation of the line that ends it.
        let mut inside: Option<(String, usize, bool)> = None;
        let mut hidden = false;
        while let Some(line) = lines.next() {
            let (indent, text) = (line.len() - line.trim_start().len(), line.trim());
            if ["mod tests {", "mod sealed {", "macro_rules!"]
                .iter()
                .any(|own| text.starts_with(own))
            {
                skip_block(&mut lines, indent);
                continue;
            }
            if inside.as_ref().is_some_and(|(_, end, _)| *end == indent && text.starts_with('}')) {
                inside = None;
                continue;
            }
            hidden |= text == "#[doc(hidden)]";
            let of_trait = matches!(&inside, Some((_, _, true)));
            if text == "inner_service_accessors!();" {
                if let Some((name, ..)) = &inside {
                    let own = &mut types.entry(name.clone()).or_default().functions;
                    own.push("fn get_ref(&self) -> &S".to_owned());
                    own.push("fn get_mut(&mut self) -> &mut S".to_owned());
                    own.push("fn into_inner(self) -> S".to_owned());
                }
            } else if inside.is_none() && text.starts_with("impl") {
                let head = signature(text, &mut lines);
                if let Some(name) = inherent(&head) {
                    inside = (!head.ends_with('}')).then_some((name, indent, false));
                }
            } else if is_function(text, of_trait) {
                let function = function(&signature(text, &mut lines));
                let name = inside.as_ref().map(|(name, ..)| name.clone()).unwrap_or_default();
                if !std::mem::take(&mut hidden) {
                    types.entry(name).or_default().functions.push(function);
                }
            } else if let Some(constant) = text.strip_prefix("pub const ") {
                let name = inside.as_ref().map(|(name, ..)| name.clone()).unwrap_or_default();
                let constant = constant.split(" =").next().unwrap();
                types.entry(name).or_default().functions.push(format!("const {constant}"));
            } else if let Some((kind, name)) = type_head(text) {
                let mut head = format!("{kind} {name}");
                if text.ends_with('{') && !text.ends_with("{}") {
                    if kind == "trait" {
                        inside = Some((name.clone(), indent, true));
                    } else if let Some(members) = members(kind, &mut lines, indent) {
                        write!(head, " {{ {members} }}").unwrap();
                    }
                }
                if !std::mem::take(&mut hidden) {
                    types.entry(name).or_default().head = Some(head);
                }
            } else if !text.starts_with("#[") && !text.starts_with("//") && !text.is_empty() {
                hidden = false;
            }
        }
    }

    fn functions(&self) -> impl Iterator<Item = (&str, &str)> {
        let types = self.0.values().flatten();
        types.flat_map(|(name, of)| of.functions.iter().map(|function| (&**name, &**function)))
    }

    fn has(&self, name: &str, function: &str) -> bool {
        let call = format!("fn {function}(");
        let generic = format!("fn {function}<");
        self.functions().any(|(of, signature)| {
            of == name && (signature.starts_with(&call) || signature.starts_with(&generic))
        })
    }
}

impl std::fmt::Display for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let types = self.0.values().flatten().filter(|(_, of)| of.head.is_some()).count();
        let functions = self.functions().filter(|(_, item)| !item.starts_with("const ")).count();
        writeln!(f, "{types} types, {functions} functions")?;
        for (module, types) in self.0.iter().filter(|(_, types)| !types.is_empty()) {
            writeln!(f, "\nmod {module}")?;
            for (name, of) in types {
                let indent = if name.is_empty() { "  " } else { "    " };
                match &of.head {
                    Some(head) => writeln!(f, "  {head}")?,
                    // An impl block beside the file of its type.
                    None if !name.is_empty() => writeln!(f, "  impl {name}")?,
                    None => {}
                }
                of.functions.iter().try_for_each(|function| writeln!(f, "{indent}{function}"))?;
            }
        }
        Ok(())
    }
}

/// Skips the lines of a block up to its end.
fn skip_block<'a>(lines: &mut impl Iterator<Item = &'a str>, indent: usize) {
    let end = format!("{}}}", " ".repeat(indent));
    lines.find(|line| *line == end);
}

/// Joins the lines of a signature up to its body.
fn signature<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut text = first.to_owned();
    while !["{", ";", "}"].iter().any(|end| text.ends_with(end)) {
        let Some(line) = lines.next() else { break };
        let line = line.trim();
        if !text.ends_with('(') && !line.starts_with(')') {
            text.push(' ');
        }
        text.push_str(line);
    }
    text.replace(",)", ")")
}

/// Returns the name of the type of an inherent `impl`, or `None` for the `impl` of a trait.
fn inherent(head: &str) -> Option<String> {
    let mut depth = 0_i32;
    let after = head.strip_prefix("impl")?;
    let end = after.char_indices().find(|(at, c)| {
        depth += match c {
            '<' => 1,
            '>' if after[..*at].ends_with('-') => 0,
            '>' => -1,
            _ => 0,
        };
        depth == 0 && *c == ' '
    })?;
    let rest = after[end.0..].trim();
    let before_where = rest.split(" where ").next()?;
    (!before_where.contains(" for ")).then(|| word(rest))
}

fn is_function(text: &str, of_trait: bool) -> bool {
    let text = if of_trait { text } else { text.strip_prefix("pub ").unwrap_or_default() };
    ["fn ", "const fn ", "async fn "].iter().any(|start| text.starts_with(start))
}

/// Shortens a signature to the part that a caller needs.
fn function(signature: &str) -> String {
    let text = signature.strip_prefix("pub ").unwrap_or(signature).replace("const fn", "fn");
    let end = text.find(" where ").or_else(|| text.rfind([';', '{'])).unwrap_or(text.len());
    text[..end].trim().replace("(mut self", "(self")
}

fn type_head(text: &str) -> Option<(&str, String)> {
    let text = text.strip_prefix("pub ")?;
    ["struct", "enum", "trait", "type"].iter().find_map(|kind| {
        let rest = text.strip_prefix(kind)?.strip_prefix(' ')?;
        Some((*kind, word(rest)))
    })
}

/// Returns the public fields of a struct or the variants of an enum.
fn members<'a>(
    kind: &str,
    lines: &mut impl Iterator<Item = &'a str>,
    indent: usize,
) -> Option<String> {
    let mut members = Vec::new();
    for line in lines {
        let depth = line.len() - line.trim_start().len();
        if depth == indent && line.trim_start().starts_with('}') {
            break;
        }
        let text = line.trim();
        if depth != indent + 4 || text.starts_with(['/', '#', '}', ')']) {
            continue;
        }
        match kind {
            "enum" => members.push(word(text)),
            _ => members.extend(text.strip_prefix("pub ").map(word)),
        }
    }
    (!members.is_empty()).then(|| members.join(", "))
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}
