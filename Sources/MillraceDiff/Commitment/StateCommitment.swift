/// The commitment to a state: one 32-byte hash of every account, slot and code, kept up to date by rehashing only what
/// changed. Replicas compare theirs with the signed one at every EVM block; it also gives inclusion proofs. Spec 20.9.
/// It is not Ethereum's state root and takes its place here only.
///
///     let commitment = StateCommitment(of: state)      // marks everything that is there
///     …                                                // diffs are applied; the state tells what changes
///     commitment.freeze()                              // at the boundary: O(1), nothing is copied
///     while !commitment.advance(leaves: 4_096) { … }   // a little per mini-block, while later diffs are applied
///     commitment.latest                                // height and hash of the frozen state
///
/// A leaf that changes while its frozen value still waits is hashed right before the change, by `State.apply`: the first
/// mini-blocks after a freeze do part of the work themselves, at most one hash per change.
///
/// A state has at most one; it lives as long as the owner keeps it, and keeps the state. Memory: 43 bytes per cell.

public import MillraceBase

/// The commitment to the state after a height.
public struct StateCheckpoint: Hashable, Sendable, BitwiseCopyable {
    public var height: UInt64
    public var commitment: Hash32

    @inlinable public init(height: UInt64, commitment: Hash32) {
        self.height = height
        self.commitment = commitment
    }
}

public final class StateCommitment {
    public let state: State
    /// The last commitment finished.
    public private(set) var latest: StateCheckpoint?

    private let accounts = HashTree()
    private let slots = HashTree()
    /// Element i is the chain over the first i codes.
    private var codeChain: [Hash32] = [.zero]
    /// What the freeze in progress, or the last one, is about.
    private var frozen = CommitmentParts()
    private var frozenHeight: UInt64 = 0
    private var isHashing = false

    /// Follows `state` from now on, everything in it marked as changed.
    public init(of state: State) {
        self.state = state
        precondition(state.commitment == nil, "a state has one commitment")
        extend()
        for i in 0..<state.accountCount { accounts.mark(i) }
        for i in 0..<state.slotCount { slots.mark(i) }
        state.commitment = Unmanaged.passUnretained(self)
    }

    deinit { state.commitment = nil }

    // MARK: Committing

    /// Cells changed since the last freeze. Committing them takes at most `1 + log₄(cells)` hashes each.
    public var dirtyCount: Int { accounts.dirtyCount + slots.dirtyCount }
    /// A freeze is being hashed.
    public var isBusy: Bool { isHashing }
    /// Bytes of the trees.
    public var memoryBytes: Int { accounts.bytes + slots.bytes }

    /// A budget for `advance` that finishes the freeze in progress within `steps` calls.
    public func leavesPerStep(steps: Int) -> Int {
        guard isHashing, steps > 0 else { return 0 }
        func bound(_ tree: HashTree) -> Int {
            // Each level marks at most as many nodes as the one below, and has at most a quarter as many.
            var (nodes, marked, sum) = (tree.count, tree.frozenCount, 0)
            while marked > 0 {
                sum += marked
                if nodes <= 1 { break }
                nodes = (nodes + HashTree.arity - 1) / HashTree.arity
                marked = min(marked, nodes)
            }
            return sum
        }
        return (bound(accounts) + bound(slots)) / steps + 1
    }

    /// Fixes the state as it is now for the next commitment. One still in progress is finished first.
    public func freeze() {
        finish()
        extend()
        accounts.freeze(count: state.accountCount)
        slots.freeze(count: state.slotCount)
        for hash in state.codeHashes[(codeChain.count - 1)...] {
            codeChain.append(CommitmentHash.codeLink(codeChain[codeChain.count - 1], hash))
        }
        frozen.accountCount = UInt32(state.accountCount)
        frozen.slotCount = UInt32(state.slotCount)
        frozen.codeCount = UInt32(state.codeCount)
        frozen.codes = codeChain[state.codeCount]
        frozenHeight = state.height
        isHashing = true
    }

    /// Hashes at most `leaves` leaves and nodes of the freeze in progress. True when there is nothing (more) to do.
    @discardableResult
    public func advance(leaves: Int) -> Bool {
        guard isHashing else { return true }
        var budget = leaves
        accounts.advance(budget: &budget) { hashAccount($0, into: $1) }
        if accounts.isFinished { slots.advance(budget: &budget) { hashSlot($0, into: $1) } }
        guard accounts.isFinished, slots.isFinished else { return false }
        frozen.accountsRoot = accounts.root
        frozen.slotsRoot = slots.root
        latest = StateCheckpoint(height: frozenHeight, commitment: frozen.commitment)
        isHashing = false
        return true
    }

    /// The commitment to the state as it is now.
    public func commitmentNow() -> Hash32 {
        freeze()
        finish()
        return frozen.commitment
    }

    /// Finishes the freeze in progress, if there is one.
    public func finish() { advance(leaves: .max) }

    // MARK: Proofs

    /// The latest commitment's parts: what proofs are checked against, and what a snapshot names. Nil before the first.
    public var parts: CommitmentParts? { latest == nil || isHashing ? nil : frozen }

    /// That the account's value now was its value at the latest commitment; nil when it has changed since, or a freeze is
    /// in progress, or there was no commitment yet.
    public func proof(of id: AccountID) -> InclusionProof? {
        guard let parts, Int(id.index) < state.accountCount, !accounts.isDirty(Int(id.index)) else {
            return nil
        }
        let value = state.value(of: id)
        return InclusionProof(
            id: id.index,
            cell: .account(
                address: state.address(of: id), balance: value.balance, nonce: value.nonce,
                codeHash: state.codeHash(value.code)),
            parts: parts, siblings: accounts.siblings(of: Int(id.index)))
    }

    /// That the slot's value now was its value at the latest commitment; nil as for accounts.
    public func proof(of id: SlotID) -> InclusionProof? {
        guard let parts, Int(id.index) < state.slotCount, !slots.isDirty(Int(id.index)) else { return nil }
        let key = state.key(of: id)
        return InclusionProof(
            id: id.index,
            cell: .slot(address: state.address(of: key.account), slot: key.slot, value: state.value(of: id)),
            parts: parts, siblings: slots.siblings(of: Int(id.index)))
    }

    // MARK: Told by the state

    /// Before the values of a diff are written (its new keys have their cells already) or taken back.
    func willChange(_ diff: StateDiff, inverse: Bool) {
        extend()
        if accounts.needsSettling {
            for change in diff.accountChanges {
                accounts.settle(Int(change.id.index)) { hashAccount($0, into: $1) }
            }
        }
        if slots.needsSettling {
            for change in diff.slotChanges { slots.settle(Int(change.id.index)) { hashSlot($0, into: $1) } }
        }
        if !inverse {
            for i in (state.accountCount - diff.newAccounts.count)..<state.accountCount { accounts.mark(i) }
            for i in (state.slotCount - diff.newSlots.count)..<state.slotCount { slots.mark(i) }
        }
        for change in diff.accountChanges { accounts.mark(Int(change.id.index)) }
        for change in diff.slotChanges { slots.mark(Int(change.id.index)) }
    }

    /// After ids have been taken back.
    func didRemoveCells() {
        accounts.truncate(to: state.accountCount)
        slots.truncate(to: state.slotCount)
        codeChain.removeLast(max(0, codeChain.count - 1 - state.codeCount))
    }

    private func extend() {
        accounts.extend(to: state.accountCount)
        slots.extend(to: state.slotCount)
    }

    @inline(__always)
    private func hashAccount(_ index: Int, into digest: UnsafeMutableRawPointer) {
        let value = state.accountValues.base[index]
        CommitmentHash.accountLeaf(
            id: UInt32(index), address: state.accountAddresses.base[index], balance: value.balance,
            nonce: value.nonce,
            codeHash: state.codeHash(value.code), into: digest)
    }

    @inline(__always)
    private func hashSlot(_ index: Int, into digest: UnsafeMutableRawPointer) {
        let key = state.slotKeys.base[index]
        CommitmentHash.slotLeaf(
            id: UInt32(index), address: state.accountAddresses.base[Int(key.account.index)], slot: key.slot,
            value: state.slotValues.base[index], into: digest)
    }
}
