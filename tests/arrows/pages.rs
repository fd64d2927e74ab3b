//! Pages that readers copy code from, on GitHub as well as in rustdoc.

use std::{fs, path::Path};

#[test]
fn code_blocks_are_copyable() {
    let mut hidden = Vec::new();
    for (page, text) in pages() {
        let lines = hidden_lines(&text).into_iter();
        hidden.extend(lines.map(|line| format!("{page}: {line}")));
    }
    assert!(hidden.is_empty(), "{hidden:#?}");
}

/// GitHub resolves neither paths of Rust nor pages of rustdoc.
#[test]
fn the_readme_links_pages_that_readers_can_open() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    assert!(!readme.contains("](crate::") && !readme.contains("](src/docs/"));
    let book = "https://docs.rs/tower-inference/latest/tower_inference/";
    let mut linked = readme.split(book).skip(1).map(|rest| rest.split('/').next().unwrap());
    let source = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    assert!(linked.clone().count() > 5);
    let missing = linked.find(|page| !source.contains(&format!("pub mod {page}")));
    assert_eq!(missing, None);
}

#[test]
fn the_test_sees_a_hidden_line() {
    let page = "# Title\n```rust\n#[derive(Clone)]\n# use a::B;\nlet a = \"# \";\n#\n  # }\n```\n\
                ```sh\n# a comment\n```\n```\n# Ok(())\n```\n# Title\n";
    assert_eq!(hidden_lines(page), ["# use a::B;", "#", "  # }", "# Ok(())"]);
}

/// The README and the pages of rustdoc, which GitHub shows too.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("src/docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = pages.chain([root.join("README.md")]);
    pages.map(|page| (page.display().to_string(), fs::read_to_string(page).unwrap())).collect()
}

/// The lines of Rust that rustdoc hides and GitHub shows.
fn hidden_lines(page: &str) -> Vec<&str> {
    let (mut inside, mut rust, mut hidden) = (false, false, Vec::new());
    for line in page.lines() {
        if let Some(language) = line.trim_start().strip_prefix("```") {
            inside = !inside;
            rust = inside && (language.is_empty() || language.starts_with("rust"));
        } else if rust && (line.trim() == "#" || line.trim_start().starts_with("# ")) {
            hidden.push(line);
        }
    }
    hidden
}
