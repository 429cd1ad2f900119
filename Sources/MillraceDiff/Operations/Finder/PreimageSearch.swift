/// Finds how slot numbers came about where the source does not say: tries keccak256(key ‖ base) for the addresses and
/// numbers a transaction shows and the bases known for its contracts, then common ones; nested mappings likewise.
///
/// A number of more than 64 bits is taken for a hash. What was found is kept by number (the hash does not depend on the
/// contract), and each contract's bases are kept. A second pass tries every address of the mini-block with the bases of
/// the contracts that still have slots without origin: a payee of a token need not change otherwise.
///
/// Bounded: `hashesPerTransaction` and `hashesPerMiniBlock` permutations (about 0.3 µs each), and tables that start anew
/// when they have grown to `foundMax` and `contractsMax` lines.

internal import MillraceBase
internal import MillraceCrypto

struct PreimageSearch {
    static let hashesPerTransaction = 4_000
    static let hashesPerMiniBlock = 1 << 17
    static let keysMax = 96
    static let foundMax = 1 << 20
    static let contractsMax = 1 << 17
    static let basesMax = 24

    /// Where Solidity's compilers put mappings: small numbers, and behind the gaps of upgradable contracts.
    private static let commonBases: [U256] =
        (0...20).map { U256(UInt64($0)) } + [51, 52, 101, 102, 103, 104, 151, 152, 201, 202, 251, 252, 301]
    private static let commonNestedBases: [U256] = (0...12).map { U256(UInt64($0)) } + [52, 102, 152]

    private struct ContractBases {
        var mappings: [U256] = []
        var nested: [U256] = []
    }
    private struct Wanted: BitwiseCopyable {
        let entry: UInt32
        let number: U256
    }

    // Looked up only, never iterated.
    private var found: [U256: SlotPreimage] = [:]
    private var bases: [UInt32: ContractBases] = [:]
    private var spenders: [U256] = []

    // Of the transaction or mini-block at hand.
    private var wanted: [Wanted] = []
    private var keys: [U256] = []
    private var owners: [U256] = []
    private var isKey: Set<U256> = []
    private var triedBases: [U256] = []
    /// The lower six bits of the wanted numbers.
    private var filter: UInt64 = 0
    private var budget = 0
    private var hashes = 0

    // MARK: A mini-block

    /// Gives preimages to the pending slots that have none, where they are found. Accounts have their ids.
    mutating func search(
        _ trace: borrowing TransactionTrace, accounts: UnsafeMutablePointer<PendingAccount>,
        accountCount: Int,
        slots: UnsafeMutablePointer<PendingSlot>, preimages: inout CellArray<SlotPreimage>
    ) {
        if found.count > PreimageSearch.foundMax { found.removeAll() }
        if bases.count > PreimageSearch.contractsMax { bases.removeAll() }
        hashes = 0
        for transaction in 0..<trace.transactionCount {
            want(trace, trace.slots(of: transaction), slots, &preimages)
            if wanted.isEmpty { continue }
            gatherKeys(trace, transaction, accounts, slots, preimages)
            budget = min(
                hashes + PreimageSearch.hashesPerTransaction, PreimageSearch.hashesPerMiniBlock / 2)
            tryMappings(accounts, slots, &preimages)
            tryNested(accounts, slots, &preimages)
        }
        guard trace.transactionCount > 0 else { return }
        want(trace, 0..<trace.slots(of: trace.transactionCount - 1).upperBound, slots, &preimages)
        if wanted.isEmpty { return }
        budget = PreimageSearch.hashesPerMiniBlock
        tryEveryAddress(accounts, accountCount, slots, &preimages)
    }

    /// Collects the changed slots of these lines that look like hashes and have no preimage.
    private mutating func want(
        _ trace: borrowing TransactionTrace, _ lines: Range<Int>, _ slots: UnsafeMutablePointer<PendingSlot>,
        _ preimages: inout CellArray<SlotPreimage>
    ) {
        wanted.removeAll(keepingCapacity: true)
        filter = 0
        for i in lines {
            let line = trace.slotsBase[i]
            let slot = slots + Int(line.entry)
            if line.old == line.new || slot.pointee.preimage != 0 { continue }
            let number = slot.pointee.slot
            if number.asUInt64 != nil { continue }
            if let known = found[number] {
                preimages.append(known)
                slot.pointee.preimage = UInt32(truncatingIfNeeded: preimages.count)
                continue
            }
            wanted.append(Wanted(entry: line.entry, number: number))
            filter |= 1 << (number.w0 & 63)
        }
    }

    // MARK: Candidates

    /// The keys a transaction shows: its accounts, its contracts, addresses and counts among its slots' values, keys found.
    private mutating func gatherKeys(
        _ trace: borrowing TransactionTrace, _ transaction: Int,
        _ accounts: UnsafeMutablePointer<PendingAccount>, _ slots: UnsafeMutablePointer<PendingSlot>,
        _ preimages: borrowing CellArray<SlotPreimage>
    ) {
        keys.removeAll(keepingCapacity: true)
        owners.removeAll(keepingCapacity: true)
        isKey.removeAll(keepingCapacity: true)
        for i in trace.accounts(of: transaction) {
            let line = trace.accountsBase[i]
            let word = accounts[Int(line.entry)].address.word
            if line.newNonce != line.oldNonce { owners.append(word) }
            addKey(word)
        }
        var last: UInt32?
        for i in trace.slots(of: transaction) {
            let slot = slots[Int(trace.slotsBase[i].entry)]
            if slot.account != last { addKey(accounts[Int(slot.account)].address.word) }
            last = slot.account
            guard slot.preimage != 0 else { continue }
            switch preimages.base[Int(slot.preimage - 1)] {
            case .none: break
            case .mapping(_, let key):
                addKey(key)
                addOwner(key)
            case .nested(_, let outer, let inner):
                addKey(outer)
                addOwner(outer)
                addKey(inner)
            }
        }
        for i in trace.slots(of: transaction) {
            let line = trace.slotsBase[i]
            for value in [line.new, line.old] where !value.isZero {
                if value.asUInt64 != nil {
                    // A count: of what was just added or taken.
                    if slots[Int(line.entry)].slot.asUInt64 != nil {
                        addKey(value)
                        addKey(value &- 1)
                    }
                } else if value.w2 != 0 {
                    addKey(Address(truncating: value).word)
                    if value.isAddress { continue }
                    // Packed in front of it, or behind: both are common.
                    addKey((value >> 96))
                }
            }
        }
    }

    private mutating func addKey(_ key: U256) {
        if keys.count < PreimageSearch.keysMax, isKey.insert(key).inserted { keys.append(key) }
    }

    private mutating func addOwner(_ key: U256) {
        if owners.count < 16, !owners.contains(key) { owners.append(key) }
    }

    // MARK: Trying

    private mutating func tryMappings(
        _ accounts: UnsafeMutablePointer<PendingAccount>, _ slots: UnsafeMutablePointer<PendingSlot>,
        _ preimages: inout CellArray<SlotPreimage>
    ) {
        triedBases.removeAll(keepingCapacity: true)
        for i in wanted.indices {
            for base in knownBases(of: wanted[i], accounts, slots).mappings where !triedBases.contains(base) {
                triedBases.append(base)
            }
        }
        for base in PreimageSearch.commonBases where !triedBases.contains(base) { triedBases.append(base) }
        for base in triedBases {
            for key in keys {
                if wanted.isEmpty || hashes >= budget { return }
                hashes += 1
                let number = Keccak256.mappingSlot(key: key, base: base)
                if filter >> (number.w0 & 63) & 1 == 0 { continue }
                take(number, .mapping(base: base, key: key), accounts, slots, &preimages)
            }
        }
    }

    private mutating func tryNested(
        _ accounts: UnsafeMutablePointer<PendingAccount>, _ slots: UnsafeMutablePointer<PendingSlot>,
        _ preimages: inout CellArray<SlotPreimage>
    ) {
        if wanted.isEmpty { return }
        triedBases.removeAll(keepingCapacity: true)
        for i in wanted.indices {
            let known = knownBases(of: wanted[i], accounts, slots)
            for base in known.nested where !triedBases.contains(base) { triedBases.append(base) }
            // Allowances are usually declared next to balances.
            for base in known.mappings where !triedBases.contains(base &+ 1) { triedBases.append(base &+ 1) }
        }
        for base in PreimageSearch.commonNestedBases where !triedBases.contains(base) {
            triedBases.append(base)
        }
        for owner in owners {
            for base in triedBases {
                if hashes >= budget { return }
                hashes += 1
                let inside = Keccak256.mappingSlot(key: owner, base: base)
                for key in spenders {
                    tryInner(key, owner, base, inside, accounts, slots, &preimages)
                    if wanted.isEmpty || hashes >= budget { return }
                }
                for key in keys where key != owner {
                    tryInner(key, owner, base, inside, accounts, slots, &preimages)
                    if wanted.isEmpty || hashes >= budget { return }
                }
            }
        }
    }

    @inline(__always)
    private mutating func tryInner(
        _ inner: U256, _ outer: U256, _ base: U256, _ inside: U256,
        _ accounts: UnsafeMutablePointer<PendingAccount>, _ slots: UnsafeMutablePointer<PendingSlot>,
        _ preimages: inout CellArray<SlotPreimage>
    ) {
        hashes += 1
        let number = Keccak256.mappingSlot(key: inner, base: inside)
        if filter >> (number.w0 & 63) & 1 == 0 { return }
        take(number, .nested(base: base, outer: outer, inner: inner), accounts, slots, &preimages)
    }

    private mutating func tryEveryAddress(
        _ accounts: UnsafeMutablePointer<PendingAccount>, _ accountCount: Int,
        _ slots: UnsafeMutablePointer<PendingSlot>, _ preimages: inout CellArray<SlotPreimage>
    ) {
        triedBases.removeAll(keepingCapacity: true)
        for i in wanted.indices {
            for base in knownBases(of: wanted[i], accounts, slots).mappings where !triedBases.contains(base) {
                triedBases.append(base)
            }
        }
        for base in PreimageSearch.commonBases.prefix(10) where !triedBases.contains(base) {
            triedBases.append(base)
        }
        for base in triedBases {
            for i in 0..<accountCount {
                if wanted.isEmpty || hashes >= budget { return }
                hashes += 1
                let key = accounts[i].address.word
                let number = Keccak256.mappingSlot(key: key, base: base)
                if filter >> (number.w0 & 63) & 1 == 0 { continue }
                take(number, .mapping(base: base, key: key), accounts, slots, &preimages)
            }
        }
    }

    private func knownBases(
        of wanted: Wanted, _ accounts: UnsafeMutablePointer<PendingAccount>,
        _ slots: UnsafeMutablePointer<PendingSlot>
    ) -> ContractBases {
        bases[accounts[Int(slots[Int(wanted.entry)].account)].id] ?? ContractBases()
    }

    /// Notes the preimage of every wanted slot with that number.
    private mutating func take(
        _ number: U256, _ preimage: SlotPreimage, _ accounts: UnsafeMutablePointer<PendingAccount>,
        _ slots: UnsafeMutablePointer<PendingSlot>, _ preimages: inout CellArray<SlotPreimage>
    ) {
        guard wanted.contains(where: { $0.number == number }) else { return }
        found[number] = preimage
        preimages.append(preimage)
        let index = UInt32(truncatingIfNeeded: preimages.count)
        for line in wanted where line.number == number {
            slots[Int(line.entry)].preimage = index
            learn(preimage, of: accounts[Int(slots[Int(line.entry)].account)].id)
        }
        wanted.removeAll { $0.number == number }
        switch preimage {
        case .none: break
        case .mapping(_, let key): addOwner(key)
        case .nested(_, _, let inner):
            if !spenders.contains(inner) {
                if spenders.count == 16 { spenders.removeLast() }
                spenders.insert(inner, at: 0)
            }
        }
    }

    private mutating func learn(_ preimage: SlotPreimage, of contract: UInt32) {
        guard contract != PendingAccount.unknown else { return }
        switch preimage {
        case .none: break
        case .mapping(let base, _):
            let known = bases[contract]?.mappings ?? []
            if !known.contains(base), known.count < PreimageSearch.basesMax {
                bases[contract, default: ContractBases()].mappings.append(base)
            }
        case .nested(let base, _, _):
            let known = bases[contract]?.nested ?? []
            if !known.contains(base), known.count < PreimageSearch.basesMax {
                bases[contract, default: ContractBases()].nested.append(base)
            }
        }
    }
}
