/// A tree of BLAKE2b-256 hashes with four children per node, over leaves numbered from 0. Spec 20.9.
///
///     level 2                    n                      the root: the only node of the top level
///     level 1        n        n        n        n       4 × 32 bytes are exactly one BLAKE2b block
///     level 0     l l l l  l l l l  l l l l  l          leaf hashes, made by the owner
///
/// Nodes of a level lie next to each other, so a node is hashed straight from where its children are. A missing child (only
/// at the right edge) counts as 32 zero bytes. Four children rather than two halve the hashes on a path; with sixteen a path
/// would cost twice as much for scattered changes (2 levels of 4 blocks against 4 levels of 1).
///
/// Work is done in steps: `freeze` fixes the leaves to be hashed, `advance` hashes a bounded number of leaves and nodes.
/// Meanwhile new changes are marked in a second bitmap, and `settle` hashes a frozen leaf right before its value changes:
/// so freezing copies nothing, and every leaf is hashed once per commitment all the same.
///
/// Memory: 43 bytes and less than 3 bits per leaf.

internal import MillraceCrypto
internal import MillraceBase

/// 32 bytes of a hash, as they are.
struct Digest: Equatable, BitwiseCopyable {
    var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    static func == (a: Digest, b: Digest) -> Bool { a.words == b.words }

    init() {}
    init(_ hash: Hash32) {
        withUnsafeMutableBytes(of: &words) { if let base = $0.baseAddress { hash.store(to: base) } }
    }

    var hash: Hash32 {
        withUnsafeBytes(of: words) { $0.baseAddress.map { Hash32(bytes: $0) } ?? .zero }
    }
}

final class HashTree {
    static let arity = 4
    /// 4^16 leaves are more than there are ids.
    static let levelsMax = 17

    /// One level: its nodes, and which of them are to be hashed.
    private final class Level {
        var nodes = CellArray<Digest>()
        var marks = Bitmap()
    }

    private var levels: [Level] = [Level()]
    /// Leaves changed since the last freeze.
    private var dirty = Bitmap()
    /// Leaves of the last freeze.
    private(set) var count = 0
    /// Members of `dirty`, and leaves the last freeze found there.
    private(set) var dirtyCount = 0
    private(set) var frozenCount = 0
    /// Where `advance` goes on; `level` is past the top when all is done.
    private var level = 0
    private var word = 0
    private var top = 0

    var isFinished: Bool { level > top || count == 0 }

    var bytes: Int {
        levels.reduce(dirty.bytes) { $0 + $1.nodes.bytes + $1.marks.bytes }
    }

    // MARK: Changes

    /// Leaves may now be numbered below `count`.
    func extend(to count: Int) { dirty.extend(to: count) }

    @inline(__always)
    func mark(_ leaf: Int) { if dirty.insert(leaf) { dirtyCount += 1 } }

    func isDirty(_ leaf: Int) -> Bool { leaf >= count || dirty.contains(leaf) }

    /// Leaves from `newCount` on are gone. The new last leaf's ancestors have lost children, so it counts as changed.
    func truncate(to newCount: Int) {
        dirty.removeAll(from: newCount)
        dirtyCount = dirty.memberCount
        if newCount > 0, newCount < count { mark(newCount - 1) }
    }

    // MARK: Hashing

    /// Takes what is marked as the work of the next `advance`s, for a tree of `count` leaves. The last one must be done.
    func freeze(count newCount: Int) {
        precondition(isFinished, "freezing a tree that is still being hashed")
        count = newCount
        frozenCount = dirtyCount
        dirtyCount = 0
        dirty.extend(to: count)
        swap(&dirty, &levels[0].marks)
        dirty.extend(to: count)
        var nodes = count
        top = 0
        levels[0].nodes.extend(to: nodes, repeating: Digest())
        while nodes > 1 {
            nodes = (nodes + HashTree.arity - 1) / HashTree.arity
            top += 1
            if levels.count == top { levels.append(Level()) }
            levels[top].nodes.extend(to: nodes, repeating: Digest())
            levels[top].marks.extend(to: nodes)
        }
        (level, word) = (0, 0)
    }

    /// True while frozen leaves wait to be hashed: whoever changes a leaf owes `settle` first.
    var needsSettling: Bool { level == 0 && count != 0 }

    /// Hashes a leaf now, if it is frozen and waits, since its value is about to change.
    @inline(__always)
    func settle(_ leaf: Int, _ hashLeaf: (Int, UnsafeMutableRawPointer) -> Void) {
        guard leaf < count, levels[0].marks.contains(leaf) else { return }
        levels[0].marks.remove(leaf)
        hashLeaf(leaf, UnsafeMutableRawPointer(levels[0].nodes.base + leaf))
        if top > 0 { _ = levels[1].marks.insert(leaf / HashTree.arity) }
    }

    /// Hashes until `budget` leaves and nodes are done or nothing is left; takes what it used off the budget.
    func advance(budget: inout Int, _ hashLeaf: (Int, UnsafeMutableRawPointer) -> Void) {
        guard count > 0 else { return }
        while level <= top {
            let current = levels[level]
            let parent = level < top ? levels[level + 1] : nil
            let children = level > 0 ? levels[level - 1] : nil
            let childCount = level > 0 ? nodeCount(level - 1) : 0
            while word < current.marks.wordCount {
                var bits = current.marks.word(word)
                while bits != 0 {
                    if budget <= 0 { return }
                    budget -= 1
                    let node = word * 64 + bits.trailingZeroBitCount
                    bits &= bits - 1
                    let target = UnsafeMutableRawPointer(current.nodes.base + node)
                    if let children {
                        HashTree.hashNode(children.nodes.base, node, childCount, into: target)
                    } else {
                        hashLeaf(node, target)
                    }
                    current.marks.remove(node)
                    if let parent { _ = parent.marks.insert(node / HashTree.arity) }
                }
                word += 1
            }
            level += 1
            word = 0
        }
    }

    /// The root of the last finished freeze; zero for no leaves.
    var root: Hash32 { count == 0 ? .zero : levels[top].nodes.base[0].hash }

    /// The hashes beside the path from a leaf to the root, from the bottom: of each group those that exist, but its own.
    func siblings(of leaf: Int) -> [Hash32] {
        var hashes: [Hash32] = []
        var index = leaf
        for level in 0..<top {
            let start = index / HashTree.arity * HashTree.arity
            for i in start..<min(start + HashTree.arity, nodeCount(level)) where i != index {
                hashes.append(levels[level].nodes.base[i].hash)
            }
            index /= HashTree.arity
        }
        return hashes
    }

    private func nodeCount(_ level: Int) -> Int {
        var nodes = count
        for _ in 0..<level { nodes = (nodes + HashTree.arity - 1) / HashTree.arity }
        return nodes
    }

    @inline(__always)
    private static func hashNode(
        _ children: UnsafeMutablePointer<Digest>, _ node: Int, _ childCount: Int,
        into target: UnsafeMutableRawPointer
    ) {
        let start = node * arity
        if start + arity <= childCount {
            Blake2b.hash(UnsafeRawPointer(children + start), count: 128, into: target)
        } else {
            var group = (Digest(), Digest(), Digest(), Digest())
            withUnsafeMutableBytes(of: &group) { group in
                group.copyMemory(
                    from: UnsafeRawBufferPointer(start: children + start, count: (childCount - start) * 32))
                if let base = group.baseAddress { Blake2b.hash(base, count: 128, into: target) }
            }
        }
    }
}
