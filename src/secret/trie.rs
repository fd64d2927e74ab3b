/// The spellings of all secrets as a tree of their bytes.
///
/// It says of each start of a spelling what may follow, so that a stream keeps back no more than
/// that start.
pub(super) struct Trie {
    nodes: Vec<Node>,
    // Whether a byte begins a spelling.
    begins: [bool; 256],
    has_shared_edges: bool,
}

#[derive(Default)]
struct Node {
    // Nearly always one.
    children: Vec<(u8, u32)>,
    end: Option<SharesEdges>,
    /// Whether a spelling below has a part of the secret in the characters around it.
    edges_below: bool,
}

/// Whether the characters around a spelling hold a part of the secret.
pub(super) type SharesEdges = bool;

/// The bytes that were read of one or more spellings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Start(u32);

impl Trie {
    pub(super) const ROOT: Start = Start(0);

    pub(super) fn of(spellings: &[(Vec<u8>, SharesEdges)]) -> Self {
        let mut trie =
            Self { nodes: vec![Node::default()], begins: [false; 256], has_shared_edges: false };
        for (spelling, shares_edges) in spellings {
            trie.add(spelling, *shares_edges);
        }
        trie
    }

    fn add(&mut self, spelling: &[u8], shares_edges: SharesEdges) {
        self.has_shared_edges |= shares_edges;
        if let Some(begins) =
            spelling.first().and_then(|byte| self.begins.get_mut(usize::from(*byte)))
        {
            *begins = true;
        }
        let mut at = Self::ROOT;
        for byte in spelling {
            let next = match self.next(at, *byte) {
                Some(next) => next,
                // The secrets of a stage with thousands of tokens still have far fewer bytes.
                None => match u32::try_from(self.nodes.len()) {
                    Ok(new) => {
                        self.nodes.push(Node::default());
                        if let Some(node) = self.nodes.get_mut(at.0 as usize) {
                            node.children.push((*byte, new));
                        }
                        Start(new)
                    }
                    Err(_) => return,
                },
            };
            at = next;
            if let Some(node) = self.nodes.get_mut(at.0 as usize) {
                node.edges_below |= shares_edges;
            }
        }
        if let Some(node) = self.nodes.get_mut(at.0 as usize) {
            node.end = Some(node.end.unwrap_or_default() || shares_edges);
        }
    }

    /// Returns the start with one byte more. `None` if no spelling goes on with it.
    #[inline]
    pub(super) fn next(&self, start: Start, byte: u8) -> Option<Start> {
        let node = self.nodes.get(start.0 as usize)?;
        node.children.iter().find(|(label, _)| *label == byte).map(|(_, next)| Start(*next))
    }

    /// Returns whether a spelling ends here.
    pub(super) fn end(&self, start: Start) -> Option<SharesEdges> {
        self.nodes.get(start.0 as usize)?.end
    }

    pub(super) fn edges_below(&self, start: Start) -> bool {
        self.nodes.get(start.0 as usize).is_some_and(|node| node.edges_below)
    }

    #[inline]
    pub(super) fn begins(&self, byte: u8) -> bool {
        self.begins.get(usize::from(byte)).copied().unwrap_or_default()
    }

    pub(super) const fn has_shared_edges(&self) -> bool {
        self.has_shared_edges
    }
}
