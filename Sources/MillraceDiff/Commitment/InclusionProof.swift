/// That an account or a slot had a value when the state had a commitment, checked without any state. Spec 20.10.
///
/// A proof comes from anyone: decoding is total and allocates no more than the input is long, and checking costs one hash
/// per level (at most 17) and one for the root. What is checked is everything in the proof: id, key, value and counts.

public import MillraceBase
internal import MillraceCrypto

public struct InclusionProof: Hashable, Sendable {
    public enum Cell: Hashable, Sendable {
        case account(address: Address, balance: U256, nonce: UInt64, codeHash: Hash32)
        case slot(address: Address, slot: U256, value: U256)
    }

    /// The cell's id in its numbering.
    public var id: UInt32
    public var cell: Cell
    public var parts: CommitmentParts
    /// From the bottom up, of each group of four the existing ones in order, without the path's own.
    public var siblings: [Hash32]

    public init(id: UInt32, cell: Cell, parts: CommitmentParts, siblings: [Hash32]) {
        self.id = id
        self.cell = cell
        self.parts = parts
        self.siblings = siblings
    }

    private var cellCount: UInt32 {
        switch cell {
        case .account: parts.accountCount
        case .slot: parts.slotCount
        }
    }

    /// Whether the proof holds for `commitment`.
    public func verifies(against commitment: Hash32) -> Bool {
        guard id < cellCount, parts.commitment == commitment, let root = root() else { return false }
        switch cell {
        case .account: return root == parts.accountsRoot
        case .slot: return root == parts.slotsRoot
        }
    }

    /// The root that the cell and its siblings lead to; nil when there are not exactly as many as the path needs.
    private func root() -> Hash32? {
        var node = leafHash
        var next = 0
        for group in InclusionProof.path(id: id, count: cellCount) {
            guard siblings.count - next >= group.existing - 1 else { return nil }
            var message: [UInt8] = []
            message.reserveCapacity(128)
            for child in 0..<HashTree.arity {
                if child == group.own {
                    message.append(node)
                } else if child < group.existing {
                    message.append(siblings[next])
                    next += 1
                } else {
                    message.append(Hash32.zero)
                }
            }
            node = Blake2b.hash(message)
        }
        return next == siblings.count ? node : nil
    }

    private var leafHash: Hash32 {
        var digest = Digest()
        withUnsafeMutableBytes(of: &digest) { buffer in
            guard let target = buffer.baseAddress else { return }
            switch cell {
            case .account(let address, let balance, let nonce, let codeHash):
                CommitmentHash.accountLeaf(
                    id: id, address: address, balance: balance, nonce: nonce, codeHash: codeHash, into: target
                )
            case .slot(let address, let slot, let value):
                CommitmentHash.slotLeaf(id: id, address: address, slot: slot, value: value, into: target)
            }
        }
        return digest.hash
    }

    /// The groups on the way up: the place of the path's own node, and how many of the four exist. `id` is below `count`.
    private static func path(id: UInt32, count: UInt32) -> [(own: Int, existing: Int)] {
        var groups: [(own: Int, existing: Int)] = []
        var (index, nodes) = (Int(id), Int(count))
        while nodes > 1 {
            let start = index / HashTree.arity * HashTree.arity
            groups.append((index - start, min(HashTree.arity, nodes - start)))
            index /= HashTree.arity
            nodes = (nodes + HashTree.arity - 1) / HashTree.arity
        }
        return groups
    }
}

// MARK: Bytes

extension InclusionProof {
    public var bytes: [UInt8] {
        var bytes: [UInt8] = []
        switch cell {
        case .account: bytes.append(1)
        case .slot: bytes.append(2)
        }
        bytes.appendLittleEndian(parts.accountCount)
        bytes.appendLittleEndian(parts.slotCount)
        bytes.appendLittleEndian(parts.codeCount)
        bytes.append(parts.accountsRoot)
        bytes.append(parts.slotsRoot)
        bytes.append(parts.codes)
        bytes.appendLittleEndian(id)
        switch cell {
        case .account(let address, let balance, let nonce, let codeHash):
            bytes.append(address)
            bytes.appendLittleEndian(nonce)
            bytes.append(balance)
            bytes.append(codeHash)
        case .slot(let address, let slot, let value):
            bytes.append(address)
            bytes.append(slot)
            bytes.append(value)
        }
        for hash in siblings { bytes.append(hash) }
        return bytes
    }

    /// Reads a proof; its length follows from its counts and id, and bytes beyond are malformed.
    public init(decoding bytes: RawSpan) throws(ByteError) {
        var reader = ByteReader(bytes)
        let kind = try reader.u8()
        guard kind == 1 || kind == 2 else { throw .malformed }
        var parts = CommitmentParts()
        parts.accountCount = try reader.u32()
        parts.slotCount = try reader.u32()
        parts.codeCount = try reader.u32()
        parts.accountsRoot = try reader.hash()
        parts.slotsRoot = try reader.hash()
        parts.codes = try reader.hash()
        let id = try reader.u32()
        guard id < (kind == 1 ? parts.accountCount : parts.slotCount) else { throw .malformed }
        let address = try reader.address()
        if kind == 1 {
            let nonce = try reader.u64()
            let balance = try reader.word()
            cell = .account(address: address, balance: balance, nonce: nonce, codeHash: try reader.hash())
        } else {
            let slot = try reader.word()
            cell = .slot(address: address, slot: slot, value: try reader.word())
        }
        self.id = id
        self.parts = parts
        siblings = []
        for group in InclusionProof.path(id: id, count: kind == 1 ? parts.accountCount : parts.slotCount) {
            for _ in 1..<group.existing { siblings.append(try reader.hash()) }
        }
        guard reader.isAtEnd else { throw .malformed }
    }
}
