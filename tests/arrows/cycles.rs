//! Files of one module that use each other in a circle.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use super::{rust_files, source};

/// A module as the segments of its path below the crate.
type Module = Vec<String>;

/// The files of a module with what each one uses.
#[derive(Default)]
pub struct Files {
    uses: BTreeMap<Module, Vec<Module>>,
    /// Names that a folder's `mod.rs` passes on, and where each comes from.
    passed_on: BTreeMap<Module, BTreeMap<String, Module>>,
}

impl Files {
    /// Reads all files below `src`, without their tests.
    pub fn of_the_crate() -> Self {
        let mut paths = Vec::new();
        rust_files(&source(), &mut paths);
        let mut files = Self::default();
        for path in paths {
            let name = path.file_stem().unwrap().to_str().unwrap();
            if name != "lib" && !name.ends_with("tests") {
                files.add(&module_at(&path), &fs::read_to_string(&path).unwrap());
            }
        }
        files
    }

    /// Adds one file.
    pub fn add(&mut self, module: &[String], text: &str) {
        let code = without_tests_and_comments(text);
        let passed_on = self.passed_on.entry(module.to_vec()).or_default();
        for path in paths(&code, module) {
            if let Some((name, from)) = path.split_last()
                && from.len() > module.len()
                && from.starts_with(module)
            {
                passed_on.insert(name.clone(), from.to_vec());
            }
        }
        self.uses.insert(module.to_vec(), paths(&code, module));
    }

    /// The circles of files, each sorted.
    pub fn cycles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<&Module, BTreeSet<Module>> =
            self.uses.keys().map(|from| (from, self.reached_from(from))).collect();
        let mut cycles = BTreeSet::new();
        for (from, to) in &reached {
            if to.contains(*from) {
                let circle = to.iter().filter(|other| reached[other].contains(*from));
                cycles.insert(circle.map(|module| module.join("/")).collect::<Vec<_>>());
            }
        }
        cycles.into_iter().collect()
    }

    fn reached_from(&self, from: &Module) -> BTreeSet<Module> {
        let mut reached = BTreeSet::new();
        let mut next = vec![from.clone()];
        while let Some(module) = next.pop() {
            for used in self.uses.get(&module).into_iter().flatten() {
                let Some(file) = self.file_of(used) else { continue };
                if file != module && file.first() == from.first() && reached.insert(file.clone()) {
                    next.push(file);
                }
            }
        }
        reached
    }

    /// The file that defines what a path names.
    fn file_of(&self, path: &[String]) -> Option<Module> {
        let known =
            (1..=path.len()).rev().find(|length| self.uses.contains_key(&path[..*length]))?;
        let (module, rest) = path.split_at(known);
        match rest.first().and_then(|name| self.passed_on.get(module)?.get(name)) {
            Some(from) if from != path => self.file_of(&[from, &rest[..1]].concat()),
            _ => Some(module.to_vec()),
        }
    }
}

fn module_at(path: &Path) -> Module {
    let inside = path.strip_prefix(source()).unwrap().with_extension("");
    let mut module: Module =
        inside.iter().map(|segment| segment.to_str().unwrap().to_owned()).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    module
}

fn without_tests_and_comments(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    inline_modules_as_the_file(lines.collect::<Vec<_>>().join(" "))
}

/// `super` inside of a module within the file is the file.
fn inline_modules_as_the_file(code: String) -> String {
    let Some((before, module)) = code.split_once("mod sealed {") else { return code };
    [before, &module.replace("super::", "self::")].concat()
}

/// All paths in `code` that start at `crate`, `self` or `super`, from the crate on.
fn paths(code: &str, module: &[String]) -> Vec<Module> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("::") {
        let before = &code[..at];
        let word = before.rfind(|c: char| !is_name(c)).map_or(0, |end| end + 1);
        let is_start = !before[..word].ends_with("::");
        let base = match &before[word..] {
            "crate" => Vec::new(),
            "self" => module.to_vec(),
            "super" => module[..module.len().saturating_sub(1)].to_vec(),
            _ => continue,
        };
        if is_start {
            tree(&code[at + 2..], &base, &mut found);
        }
    }
    found
}

/// Adds the leaves of a tree of paths. Returns the rest of the text.
fn tree<'a>(text: &'a str, base: &[String], found: &mut Vec<Module>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut group) = text.strip_prefix('{') {
        loop {
            group = tree(group, base, found).trim_start();
            match group.strip_prefix(',') {
                Some(rest) => group = rest,
                None => return group.strip_prefix('}').unwrap_or(group),
            }
        }
    }
    let end = text.find(|c: char| !is_name(c)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let mut path = base.to_vec();
    match name {
        // After the last comma of a group.
        "" => return rest,
        "super" => drop(path.pop()),
        "self" => {}
        name => path.push(name.to_owned()),
    }
    if let Some(rest) = rest.strip_prefix("::") {
        return tree(rest, &path, found);
    }
    found.push(path);
    let renamed = rest.trim_start().strip_prefix("as ");
    renamed.map_or(rest, |rest| rest.trim_start_matches(is_name))
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
