/// The path of a member within a document.
#[derive(Clone, Copy)]
pub(super) struct MemberPath<'a> {
    parent: Option<&'a Self>,
    segment: Segment<'a>,
}

#[derive(Clone, Copy)]
enum Segment<'a> {
    Root,
    Member(&'a str),
    Element(usize),
}

impl<'a> MemberPath<'a> {
    pub(super) const ROOT: MemberPath<'static> =
        MemberPath { parent: None, segment: Segment::Root };

    pub(super) const fn member(&'a self, name: &'a str) -> Self {
        Self { parent: Some(self), segment: Segment::Member(name) }
    }

    pub(super) const fn element(&'a self, index: usize) -> Self {
        Self { parent: Some(self), segment: Segment::Element(index) }
    }

    /// Returns whether this is the object of a request: the document's root or an instance.
    pub(super) const fn is_request(&self) -> bool {
        matches!(self.segment, Segment::Root | Segment::Element(_))
    }

    /// Returns the number of names from the object of the request to here.
    pub(super) fn depth(&self) -> usize {
        match self.parent {
            Some(parent) if !self.is_request() => 1 + parent.depth(),
            _ => 0,
        }
    }

    pub(super) const fn name(&self) -> &'a str {
        match self.segment {
            Segment::Member(name) => name,
            Segment::Root | Segment::Element(_) => "",
        }
    }

    /// Returns the JSON pointer (RFC 6901).
    pub(super) fn pointer(&self) -> String {
        let parent = self.parent.map(Self::pointer).unwrap_or_default();
        match self.segment {
            Segment::Root => parent,
            Segment::Member(name) if name.contains(['~', '/']) => {
                format!("{parent}/{}", name.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Member(name) => format!("{parent}/{name}"),
            Segment::Element(index) => format!("{parent}/{index}"),
        }
    }
}
