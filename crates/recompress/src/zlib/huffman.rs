//! Code lengths as zlib finds them: a binary heap, and a repair where a code grew too long.
//!
//! Many optimal codes exist for one set of frequencies; which of them comes out depends on every detail here:
//! the order in which the heap is filled, how ties are broken (flatter tree first), and how over-long codes
//! are shortened.

/// A prefix code: per symbol the number of bits, 0 for symbols without a code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lengths<const N: usize> {
    /// The bits of each symbol's code.
    pub bits: [u8; N],
    /// The highest symbol that has a code.
    pub highest: usize,
}

/// Most symbols of any alphabet: literals and lengths.
const MOST: usize = super::symbols::LITERALS;
/// Nodes of the largest tree: leaves, inner nodes.
const NODES: usize = 2 * MOST;

/// The tree under construction. Nodes below `N` are the symbols, the others inner nodes.
struct Tree {
    /// Frequency × 256 + depth: the smaller key comes first. Inner depth stays below 256 for any 2^24 tokens.
    keys: [u32; NODES],
    parent: [u16; NODES],
    /// Places 1 to `size`.
    heap: [u16; MOST + 1],
    size: usize,
}

impl Tree {
    fn push(&mut self, node: usize) {
        self.size += 1;
        self.heap[self.size] = node as u16;
    }

    fn key(&self, place: usize) -> u32 {
        self.keys[usize::from(self.heap[place])]
    }

    fn sift_down(&mut self, mut place: usize) {
        let node = self.heap[place];
        let key = self.keys[usize::from(node)];
        loop {
            let mut child = 2 * place;
            if child > self.size {
                break;
            }
            if child < self.size && self.key(child + 1) <= self.key(child) {
                child += 1;
            }
            if key <= self.key(child) {
                break;
            }
            self.heap[place] = self.heap[child];
            place = child;
        }
        self.heap[place] = node;
    }

    fn first(&self) -> usize {
        self.heap[1].into()
    }

    fn replace_first(&mut self, node: usize) {
        self.heap[1] = node as u16;
        self.sift_down(1);
    }

    /// Joins nodes until the root is left; gives all nodes in the order in which they left the heap, the root
    /// last.
    fn join(&mut self, mut node: usize) -> Vec<usize> {
        for place in (1..=self.size / 2).rev() {
            self.sift_down(place);
        }
        let mut order = Vec::with_capacity(2 * self.size);
        while self.size > 1 {
            let one = self.first();
            self.size -= 1;
            self.replace_first(self.heap[self.size + 1].into());
            let two = self.first();
            let depth = (self.keys[one] & 0xff).max(self.keys[two] & 0xff) + 1;
            self.keys[node] = (((self.keys[one] >> 8) + (self.keys[two] >> 8)) << 8) | depth;
            self.parent[one] = node as u16;
            self.parent[two] = node as u16;
            order.extend([one, two]);
            self.replace_first(node);
            node += 1;
        }
        order.push(self.first());
        order
    }
}

/// The code for `frequencies`, no code longer than `limit`.
///
/// At least two symbols get codes, so that every decoder accepts it; those without a frequency are the lowest
/// possible.
pub(super) fn code_lengths<const N: usize>(frequencies: &[u32; N], limit: u8) -> Lengths<N> {
    let mut tree = Tree { keys: [0; NODES], parent: [0; NODES], heap: [0; MOST + 1], size: 0 };
    let mut highest = None;
    for (symbol, &frequency) in frequencies.iter().enumerate().filter(|&(_, &frequency)| frequency > 0) {
        tree.keys[symbol] = frequency << 8;
        tree.push(symbol);
        highest = Some(symbol);
    }
    while tree.size < 2 {
        let symbol = match highest {
            None => 0,
            Some(h) if h < 2 => h + 1,
            Some(_) => 0,
        };
        tree.keys[symbol] = 1 << 8;
        tree.push(symbol);
        highest = highest.max(Some(symbol));
    }
    let order = tree.join(N);
    Lengths { bits: assign(&order, &tree.parent, limit), highest: highest.unwrap_or(0) }
}

/// Walks the tree from its root, the last of `order`, and gives every leaf its depth, within `limit`.
fn assign<const N: usize>(order: &[usize], parent: &[u16; NODES], limit: u8) -> [u8; N] {
    let mut depths = [0u8; NODES];
    let mut counts = [0u32; 17];
    let mut over = 0i32;
    for &node in order.iter().rev().skip(1) {
        let depth = depths[usize::from(parent[node])] + 1;
        over += i32::from(depth > limit);
        depths[node] = depth.min(limit);
        if node < N {
            counts[usize::from(depths[node])] += 1;
        }
    }
    if over > 0 {
        shorten(order, &mut depths, &mut counts, usize::from(limit), over, N);
    }
    std::array::from_fn(|symbol| depths[symbol])
}

/// Makes the code complete again after `over` nodes were cut to `limit`, and deals the lengths out anew.
fn shorten(
    order: &[usize],
    depths: &mut [u8],
    counts: &mut [u32; 17],
    limit: usize,
    mut over: i32,
    leaves: usize,
) {
    while over > 0 {
        let mut bits = limit - 1;
        while counts[bits] == 0 {
            bits -= 1;
        }
        // One leaf moves down and takes one of those that did not fit as its brother.
        counts[bits] -= 1;
        counts[bits + 1] += 2;
        counts[limit] -= 1;
        over -= 2;
    }
    let mut rarest_first = order.iter().filter(|&&node| node < leaves);
    for bits in (1..=limit).rev() {
        for &node in rarest_first.by_ref().take(counts[bits] as usize) {
            depths[node] = bits as u8;
        }
    }
}

/// The canonical codes for `lengths`, each as it is sent: the code's bits reversed, its length at bit 16 and
/// up.
pub(super) const fn codes<const N: usize>(lengths: &[u8; N]) -> [u32; N] {
    let mut next = [0u32; 17];
    let mut symbol = 0;
    while symbol < N {
        next[lengths[symbol] as usize + 1] += 1;
        symbol += 1;
    }
    next[1] = 0;
    let mut bits = 1;
    while bits < 17 {
        // So far: how many codes have length `bits - 1`; from here: the first code of length `bits`.
        next[bits] = (next[bits] + next[bits - 1]) << 1;
        bits += 1;
    }
    let mut codes = [0; N];
    symbol = 0;
    while symbol < N {
        let length = lengths[symbol] as u32;
        if length > 0 {
            let code = next[length as usize];
            next[length as usize] += 1;
            codes[symbol] = code.reverse_bits() >> (32 - length) | length << 16;
        }
        symbol += 1;
    }
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<const N: usize>(frequencies: &[(usize, u32)]) -> [u32; N] {
        let mut all = [0; N];
        frequencies.iter().for_each(|&(symbol, frequency)| all[symbol] = frequency);
        all
    }

    /// Fewer than two symbols: which others get a code.
    #[test]
    fn forced_symbols() {
        for (used, coded) in
            [(None, [0, 1]), (Some(0), [0, 1]), (Some(1), [1, 2]), (Some(2), [0, 2]), (Some(9), [0, 9])]
        {
            let used: Vec<_> = used.into_iter().map(|symbol| (symbol, 7)).collect();
            let lengths = code_lengths::<32>(&with(&used), 15);
            let want = with::<32>(&coded.map(|symbol| (symbol, 1))).map(|bits| bits as u8);
            assert_eq!(lengths, Lengths { bits: want, highest: coded[1] });
        }
    }

    /// Fibonacci's numbers make the deepest tree; cut to any limit it stays complete, and rarer is never
    /// shorter.
    #[test]
    fn limits() {
        let mut frequencies = [1u32; 19];
        for i in 2..19 {
            frequencies[i] = frequencies[i - 1] + frequencies[i - 2];
        }
        for limit in [5, 7, 15] {
            let Lengths { bits, highest } = code_lengths(&frequencies, limit);
            assert_eq!(highest, 18);
            assert_eq!(bits.iter().max(), Some(&limit));
            assert_eq!(bits.iter().map(|&b| 1u32 << (15 - b)).sum::<u32>(), 1 << 15, "limit {limit}");
            assert!(bits.is_sorted_by(|a, b| a >= b), "limit {limit}: {bits:?}");
        }
    }

    /// The example of RFC 1951, 3.2.2: lengths 3, 3, 3, 3, 3, 2, 4, 4.
    #[test]
    fn canonical() {
        let codes = codes(&[3, 3, 3, 3, 3, 2, 4, 4]);
        let plain = codes.map(|code| (code & 0xffff).reverse_bits() >> (32 - (code >> 16)));
        assert_eq!(plain, [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]);
    }
}
