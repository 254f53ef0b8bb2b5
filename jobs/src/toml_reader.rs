//! Reads a TOML file and reports all mistakes with their lines, so that they can be fixed at once; an unknown key is
//! reported with the nearest known one. serde would stop at the first mistake.

use bergmill_statement::nearest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::Mistake;

/// Reads one file and collects its mistakes.
pub(crate) struct Reader<'s> {
    file: &'s str,
    source: &'s str,
    /// The mistakes found so far.
    pub(crate) mistakes: Vec<Mistake>,
}

/// A table of the file: its entries, the line where it starts, and its title in messages.
pub(crate) struct Section<'t> {
    pub(crate) entries: &'t DeTable<'t>,
    pub(crate) line: usize,
    pub(crate) title: String,
}

/// A value with its line.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) line: usize,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(file: &'s str, source: &'s str) -> Self {
        Self { file, source, mistakes: Vec::new() }
    }

    pub(crate) fn mistake(&mut self, line: usize, message: impl Into<String>) {
        let mistake = Mistake { file: self.file.to_owned(), line: Some(line), message: message.into() };
        self.mistakes.push(mistake);
    }

    /// Parses the file; syntax errors are kept as mistakes, and the readable parts are still returned.
    pub(crate) fn parse(&mut self) -> DeTable<'s> {
        let (table, errors) = DeTable::parse_recoverable(self.source);
        for error in errors {
            let line = error.span().map_or(1, |span| self.line(span.start));
            self.mistake(line, error.message().to_owned());
        }
        table.into_inner()
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.source.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }

    /// Reports the keys of the section that are not known.
    pub(crate) fn only(&mut self, section: &Section, known: &[&str]) {
        for key in section.entries.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let hint = nearest(name, known.iter().copied())
                    .map(|near| format!("; did you mean {near}?"))
                    .unwrap_or_default();
                self.mistake(self.line(key.span().start), format!("{}: unknown key {name}{hint}", section.title));
            }
        }
    }

    fn wrong(&mut self, section: &Section, key: &str, value: &Spanned<DeValue>, wanted: &str) {
        let found = value.get_ref().type_str();
        self.mistake(
            self.line(value.span().start),
            format!("{}: {key} should be {wanted}, not {found}", section.title),
        );
    }

    /// An optional string.
    pub(crate) fn optional_text(&mut self, section: &Section, key: &str) -> Option<At<String>> {
        let value = section.entries.get(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(At { value: text.to_owned(), line: self.line(value.span().start) }),
            None => {
                self.wrong(section, key, value, "a string");
                None
            }
        }
    }

    /// A required string.
    pub(crate) fn text(&mut self, section: &Section, key: &str) -> Option<At<String>> {
        if !section.entries.contains_key(key) {
            self.mistake(section.line, format!("{}: {key} is missing", section.title));
        }
        self.optional_text(section, key)
    }

    /// A list of strings; empty if missing.
    pub(crate) fn texts(&mut self, section: &Section, key: &str) -> Vec<At<String>> {
        let Some(value) = section.entries.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(section, key, value, "a list of strings");
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items {
            match item.get_ref().as_str() {
                Some(text) => texts.push(At { value: text.to_owned(), line: self.line(item.span().start) }),
                None => self.wrong(section, key, item, "a list of strings"),
            }
        }
        texts
    }

    /// A table within the section; `title` is its name in messages.
    pub(crate) fn table<'t>(&mut self, section: &Section<'t>, key: &str, title: &str) -> Option<Section<'t>> {
        let value = section.entries.get(key)?;
        match value.get_ref().as_table() {
            Some(entries) => {
                let line = self.line(value.span().start);
                Some(Section { entries, line, title: title.to_owned() })
            }
            None => {
                self.wrong(section, key, value, "a table");
                None
            }
        }
    }

    /// A list of tables within the section; empty if missing.
    pub(crate) fn tables<'t>(&mut self, section: &Section<'t>, key: &str, title: &str) -> Vec<Section<'t>> {
        let Some(value) = section.entries.get(key) else { return Vec::new() };
        let Some(items) = value.get_ref().as_array() else {
            self.wrong(section, key, value, &format!("written as [[{key}]]"));
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(entries) => {
                    let name = entries.get("name").and_then(|name| name.get_ref().as_str());
                    let title = name.map_or(title.to_owned(), |name| format!("{title} {name}"));
                    sections.push(Section { entries, line: self.line(item.span().start), title });
                }
                None => self.wrong(section, key, item, &format!("written as [[{key}]]")),
            }
        }
        sections
    }

    /// Strings by name, ordered by name.
    pub(crate) fn named_texts(&mut self, section: &Section, key: &str) -> Vec<(String, At<String>)> {
        let title = format!("{}.{key}", section.title);
        let Some(inner) = self.table(section, key, &title) else { return Vec::new() };
        let mut texts = Vec::new();
        for name in inner.entries.keys() {
            if let Some(text) = self.optional_text(&inner, name.get_ref()) {
                texts.push((name.get_ref().to_string(), text));
            }
        }
        texts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_all_mistakes_with_lines() {
        let source = "name = 3\nstesp = 1\n\n[[step]]\nname = \"a\"\nafter = [\"x\", 4]\n";
        let mut reader = Reader::new("pipeline.toml", source);
        let table = reader.parse();
        let root = Section { entries: &table, line: 1, title: "pipeline".to_owned() };
        reader.only(&root, &["name", "step"]);
        reader.text(&root, "name");
        reader.text(&root, "description");
        for step in reader.tables(&root, "step", "step") {
            reader.texts(&step, "after");
        }
        let reported: Vec<String> = reader.mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(
            reported,
            [
                "pipeline.toml:2: pipeline: unknown key stesp; did you mean step?",
                "pipeline.toml:1: pipeline: name should be a string, not integer",
                "pipeline.toml:1: pipeline: description is missing",
                "pipeline.toml:6: step a: after should be a list of strings, not integer",
            ]
        );
    }
}
