//! What a Markdown text says: title, tags, dates, boxes to tick, wiki links.
//! Pure; the text itself is never changed but for the one character between
//! the brackets of a box.

use std::collections::HashMap;

use pulldown_cmark::{Event, HeadingLevel, LinkType, Options, Parser, Tag, TagEnd};

use crate::front_matter::{self, FrontMatter};

const OPTIONS: Options = Options::ENABLE_TASKLISTS.union(Options::ENABLE_WIKILINKS);

/// What a text says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// From the front matter, else the first heading of the first level.
    pub title: Option<String>,
    /// From the front matter.
    pub tags: Vec<String>,
    /// From the front matter.
    pub created: Option<String>,
    /// From the front matter.
    pub modified: Option<String>,
    /// In the order of the text.
    pub boxes: Vec<TaskBox>,
    /// What stands before the `|` of `[[…]]`.
    pub links: Vec<String>,
    /// Why the front matter is none.
    pub unreadable: Option<String>,
}

/// A `- [ ]` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskBox {
    /// The byte between the brackets.
    pub at: usize,
    /// It is ticked.
    pub done: bool,
    /// The item's own text, plain, without what is nested in it.
    pub text: String,
    /// 1 for the first box with this text, 2 for the second …
    pub nth: usize,
}

impl TaskBox {
    /// What tells it from every other box of its document.
    #[must_use]
    pub fn key(&self) -> (&str, usize) {
        (&self.text, self.nth)
    }
}

/// Reads a text.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let bom = text.len() - text.trim_start_matches('\u{feff}').len();
    let front = front_matter::split(&text[bom..]);
    let read = front.map(|(yaml, end)| (front_matter::read(yaml), bom + end));
    let (front, start, unreadable) = match read {
        Some((Ok(front), start)) => (front, start, None),
        Some((Err(why), _)) => (FrontMatter::default(), bom, Some(why)),
        None => (FrontMatter::default(), bom, None),
    };
    let mut reader = Reader { start, ..Reader::default() };
    for (event, range) in Parser::new_ext(&text[start..], OPTIONS).into_offset_iter() {
        reader.event(event, &text[start + range.start..start + range.end], range.start);
    }
    Parsed {
        title: front.title.or(reader.title),
        tags: front.tags,
        created: front.created,
        modified: front.modified,
        boxes: reader.boxes,
        links: reader.links,
        unreadable,
    }
}

/// The text with its boxes as `state` wants them; a box that it knows nothing
/// of, or that stands so already, keeps its very character.
#[must_use]
pub fn tick(text: &str, state: impl Fn(&TaskBox) -> Option<bool>) -> String {
    let mut ticked = String::with_capacity(text.len());
    let mut copied = 0;
    for found in parse(text).boxes {
        match state(&found) {
            Some(done) if done != found.done => {
                ticked.push_str(&text[copied..found.at]);
                ticked.push(if done { 'x' } else { ' ' });
                copied = found.at + 1;
            }
            _ => {}
        }
    }
    ticked.push_str(&text[copied..]);
    ticked
}

/// Follows the events of the parser.
#[derive(Default)]
struct Reader {
    start: usize,
    title: Option<String>,
    heading: Option<String>,
    open: Option<TaskBox>,
    boxes: Vec<TaskBox>,
    counts: HashMap<String, usize>,
    links: Vec<String>,
}

impl Reader {
    fn event(&mut self, event: Event<'_>, source: &str, at: usize) {
        match event {
            Event::TaskListMarker(done) => self.open_box(done, source, at),
            Event::Text(text) | Event::Code(text) => self.text(&text),
            Event::SoftBreak | Event::HardBreak => self.text(" "),
            Event::Start(tag) => self.start(&tag),
            Event::End(TagEnd::Heading(HeadingLevel::H1)) => {
                let heading = self.heading.take().map(|text| plain(&text));
                self.title = self.title.take().or(heading.filter(|text| !text.is_empty()));
            }
            Event::End(TagEnd::Item | TagEnd::Paragraph) => self.close_box(),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level: HeadingLevel::H1, .. } if self.title.is_none() => {
                self.heading = Some(String::new());
            }
            Tag::Link { link_type: LinkType::WikiLink { .. }, dest_url, .. } => {
                // In a table the bar is escaped, and the backslash is no name.
                self.links.push(plain(dest_url.trim_end_matches('\\')));
            }
            Tag::Emphasis | Tag::Strong | Tag::Link { .. } | Tag::Image { .. } => {}
            // Another block begins: what it says is not the item's own text.
            _ => self.close_box(),
        }
    }

    fn open_box(&mut self, done: bool, source: &str, at: usize) {
        let bracket = source.find('[').unwrap_or_default();
        let at = self.start + at + bracket + 1;
        self.open = Some(TaskBox { at, done, text: String::new(), nth: 0 });
    }

    fn text(&mut self, text: &str) {
        if let Some(open) = &mut self.open {
            open.text.push_str(text);
        }
        if let Some(heading) = &mut self.heading {
            heading.push_str(text);
        }
    }

    /// A box without words says nothing that could be done.
    fn close_box(&mut self) {
        let Some(mut open) = self.open.take() else { return };
        open.text = plain(&open.text);
        if !open.text.is_empty() {
            let count = self.counts.entry(open.text.clone()).or_default();
            *count += 1;
            open.nth = *count;
            self.boxes.push(open);
        }
    }
}

/// One blank for many, none at the ends.
fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;

    fn boxes(text: &str) -> Vec<(String, usize, bool)> {
        parse(text).boxes.into_iter().map(|b| (b.text, b.nth, b.done)).collect()
    }

    #[test]
    fn the_title_comes_from_the_front_matter_else_the_first_heading() {
        assert_eq!(parse("---\ntitle: A\n---\n# B").title.as_deref(), Some("A"));
        assert_eq!(parse("\u{feff}## b\n\n# A *c* `d`\r\n# E").title.as_deref(), Some("A c d"));
        assert_eq!(parse("#\n\nA\n===\n").title.as_deref(), Some("A"));
        assert_eq!(parse("    # code\n").title, None);
    }

    #[test]
    fn boxes_know_their_text_and_their_place() {
        let text =
            "- [ ] a **b** [c](d) [[e|f]] <i>g</i>\n  h\n  - [X] i\n1. [x] a b\n> * [\t] a b\n";
        let found = boxes(text);
        let expected = [("a b c f g h", 1, false), ("i", 1, true), ("a b", 1, true)];
        let expected = expected.map(|(text, nth, done)| (text.to_owned(), nth, done));
        assert_eq!(found[..3], expected);
        assert_eq!(found[3], ("a b".to_owned(), 2, false));
        for b in parse(text).boxes {
            assert_eq!((&text[b.at - 1..b.at], &text[b.at + 1..=b.at + 1]), ("[", "]"));
        }
    }

    #[test]
    fn what_only_looks_like_a_box_is_none() {
        let text =
            "```\n- [ ] code\n```\n\n    - [ ] code\n\n[ ] no item\n\n- [ ]\n- [ ]x\n- \\[ ] y\n";
        assert_eq!(boxes(text), []);
    }

    #[test]
    fn boxes_between_two_thematic_breaks_are_found() {
        assert_eq!(boxes("a\n\n---\n- [ ] b\n\n---\n").len(), 1);
        assert_eq!(boxes("---\n- [ ] b\n---\n").len(), 1, "a list is no front matter");
    }

    #[test]
    fn an_item_of_several_paragraphs_is_named_by_the_first() {
        assert_eq!(
            boxes("- [ ] a\n\n  b\n- [x] c\n"),
            [("a".to_owned(), 1, false), ("c".to_owned(), 1, true)]
        );
    }

    #[test]
    fn wiki_links_are_what_stands_before_the_bar() {
        let text = "[[a]] [[b c|d]] [[e#f]] `[[g]]` ![[h.png]] [i](j)\n[[k\nl]] [[m\\|n]]\n";
        assert_eq!(parse(text).links, ["a", "b c", "e#f", "k l", "m"]);
    }

    #[test]
    fn a_ticked_box_changes_one_character() {
        let text = "\u{feff}- [ ] a\r\n- [X] b\r\n- [\t] c";
        assert_eq!(tick(text, |_| Some(true)), "\u{feff}- [x] a\r\n- [X] b\r\n- [x] c");
        assert_eq!(tick(text, |_| Some(false)), "\u{feff}- [ ] a\r\n- [ ] b\r\n- [\t] c");
        assert_eq!(tick(text, |_| None), text);
    }

    /// Texts from pieces that mean something to Markdown.
    fn texts() -> impl Strategy<Value = String> {
        const PIECES: &[&str] = &[
            "- [ ] ",
            "- [x] ",
            "* [X] ",
            "1. [ ] ",
            "- ",
            "  ",
            "    ",
            "\t",
            "\n",
            "\r\n",
            "\n\n",
            "> ",
            "# ",
            "---\n",
            "```\n",
            "`",
            "[[",
            "]]",
            "|",
            "[",
            "]",
            "(",
            ")",
            "x",
            " ",
            "é",
            "buy milk",
            "\u{feff}",
            "title: a\n",
            "tags: [b]\n",
            "<!--",
            "-->",
            "\\",
            "*",
            "[x]: /u\n",
        ];
        vec(select(PIECES), 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn ticking_what_is_ticked_is_the_identity(text in texts()) {
            prop_assert_eq!(tick(&text, |b| Some(b.done)), text);
        }

        #[test]
        fn only_the_character_between_brackets_changes(text in texts(), states in any::<u64>()) {
            let wanted = |b: &TaskBox| Some(states >> (b.at % 64) & 1 == 1);
            let ticked = tick(&text, wanted);
            let places: Vec<usize> = parse(&text).boxes.iter().map(|b| b.at).collect();
            prop_assert_eq!(ticked.len(), text.len());
            for (at, (old, new)) in text.bytes().zip(ticked.bytes()).enumerate() {
                prop_assert!(old == new || places.contains(&at), "byte {}", at);
            }
        }

        #[test]
        fn a_ticked_text_says_the_same_but_for_the_ticks(text in texts(), done in any::<bool>()) {
            let mut expected = parse(&text);
            expected.boxes.iter_mut().for_each(|b| b.done = done);
            prop_assert_eq!(parse(&tick(&text, |_| Some(done))), expected);
        }
    }
}
