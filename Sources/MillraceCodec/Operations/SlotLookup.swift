/// Finding the slots a section's actions are about, all at once and before any runs: known pairs of token and holder first, then
/// hashes and look-ups for the rest, side by side, so that memory is waited for once and not at each step. What is found
/// here is what `OperationRunner` would find later, one by one.
///
///     names of all pairs ─▶ ids of those remembered ─▶ entries        each pass asks for the memory of the next

internal import CPrefetch
internal import MillraceBase
internal import MillraceCrypto
internal import MillraceDiff

/// A pair whose slot is not at hand.
struct SlotRequest: BitwiseCopyable {
    /// Where its entry is wanted.
    var place: UInt32
    /// Name in the cache.
    var key: UInt64
    var contract: UInt32
    /// Holder, or owner of an allowance.
    var holder: Address
    var fact: UInt32
    /// Fact of the spender, for an allowance; `.max` else.
    var spender: UInt32
}

/// What a slot is to an action.
enum SlotRole {
    static var payer: Int { 0 }
    static var payee: Int { 1 }
    static var allowance: Int { 2 }
    static var count: Int { 3 }
}

/// A pair that actions name.
struct SlotWant: BitwiseCopyable {
    /// Where its entry is wanted: `SlotRole.count` × action + role.
    var place: UInt32
    /// Name in the cache.
    var key: UInt64
    var contract: UInt32
    var holder: UInt32
    var fact: UInt32
    /// Fact of the spender, for an allowance; `.max` else.
    var spender: UInt32
    /// The slot, when it is remembered; `.max` else.
    var id: UInt32 = .max
}

struct SlotLookup: ~Copyable {
    /// So many are under way at a time.
    static var batch: Int { 32 }

    /// By action and role: the overlay's entry, or −1 for what is found when the action runs.
    var entries = Scratch<Int32>(capacity: 4096)
    var wants = Scratch<SlotWant>(capacity: 1024)
    var wantCount = 0
    var requests = Scratch<SlotRequest>(capacity: 1024)
    var count = 0
    var left = Scratch<U256>(capacity: SlotLookup.batch)
    var right = Scratch<U256>(capacity: SlotLookup.batch)
    var inner = Scratch<U256>(capacity: SlotLookup.batch)
    var keys: [SlotKey] = []
    var found: [SlotID?] = []
    /// By cache name, the overlay's entries of slots that the base does not know.
    var unknown = EntryTable()

    @inline(__always)
    mutating func append(_ want: SlotWant) {
        if wantCount == wants.capacity { wants.grow(to: wantCount + 1, keeping: wantCount) }
        wants.base[wantCount] = want
        wantCount &+= 1
    }

    mutating func append(_ request: SlotRequest) {
        if count == requests.capacity { requests.grow(to: count + 1, keeping: count) }
        requests.base[count] = request
        count &+= 1
    }
}

extension OperationRunner {
    /// Enters the senders in the overlay.
    func lookUp(_ transactions: UnsafeBufferPointer<Transaction>, base: State) {
        let (values, known) = (base.accountValuesBase, base.accountCount)
        for transaction in transactions where Int(transaction.sender.index) < known {
            millrace_prefetch(values + Int(transaction.sender.index))
        }
        var last = UInt32.max
        for transaction in transactions where transaction.sender.index != last {
            last = transaction.sender.index
            if Int(last) < base.accountCount { _ = overlay.account(id: last, base: base) }
        }
    }

    /// Enters the slots of holders with an account id in the overlay.
    func lookUp(_ actions: UnsafeBufferPointer<Action>, base: State) {
        lookup.count = 0
        lookup.wantCount = 0
        lookup.entries.ensure(actions.count * SlotRole.count)
        lookup.entries.base.update(repeating: -1, count: actions.count * SlotRole.count)
        for i in 0..<actions.count {
            let action = actions[i]
            switch action.kind {
            case .ether:
                continue
            case .transfer:
                want(i, SlotRole.payer, action.fact.index, action.payer, base: base)
                want(i, SlotRole.payee, action.fact.index, action.payee, base: base)
                if action.spender != .none {
                    want(
                        i, SlotRole.allowance, action.fact.index, action.payer, spender: action.spender.index,
                        base: base)
                }
            case .mint:
                want(i, SlotRole.payee, action.fact.index, action.payee, base: base)
            case .burn:
                want(i, SlotRole.payer, action.fact.index, action.payer, base: base)
            case .swap:
                guard let pool = facts.pool(action.fact.index) else { continue }
                if !action.isChained {
                    let token = action.zeroForOne ? pool.token0 : pool.token1
                    want(i, SlotRole.payer, token, action.payer, base: base)
                    if action.spender != .none {
                        want(
                            i, SlotRole.allowance, token, action.payer, spender: action.spender.index,
                            base: base)
                    }
                }
                let isFeeding = i &+ 1 < actions.count && actions[i &+ 1].isChained
                if !isFeeding {
                    want(
                        i, SlotRole.payee, action.zeroForOne ? pool.token1 : pool.token0, action.payee,
                        base: base)
                }
            }
        }
        enterRemembered(base: base)
        var from = 0
        while from < lookup.count {
            let end = min(from + SlotLookup.batch, lookup.count)
            hashAndFind(from, end, base: base)
            from = end
        }
    }

    @inline(__always)
    private func want(
        _ action: Int, _ role: Int, _ fact: UInt32, _ holder: Party, spender: UInt32 = .max, base: State
    ) {
        guard holder.literal == nil, let token = facts.token(fact) else { return }
        let key: UInt64
        if spender == .max {
            key = HolderSlotCache.key(fact: fact, holder: holder.raw)
        } else {
            guard token.hasAllowances, spender < HolderSlotCache.plain, facts.isSpender(spender) else {
                return
            }
            key = HolderSlotCache.key(fact: token.allowances, holder: holder.raw, spender: spender)
        }
        prefetchCached(key)
        if Int(holder.raw) < base.accountCount {
            millrace_prefetch(base.accountAddressesBase + Int(holder.raw))
        }
        lookup.append(
            SlotWant(
                place: UInt32(truncatingIfNeeded: action &* SlotRole.count &+ role), key: key,
                contract: token.contract, holder: holder.raw, fact: fact, spender: spender))
    }

    @inline(__always)
    private func place(_ entry: Int, _ at: UInt32) {
        lookup.entries.base[Int(at)] = Int32(truncatingIfNeeded: entry)
    }

    /// The entry of the running action's slot; nil for one that was not looked up ahead.
    @inline(__always)
    func lookedUp(_ role: Int) -> Int? {
        let entry = lookup.entries.base[running &* SlotRole.count &+ role]
        return entry < 0 ? nil : Int(entry)
    }

    /// Enters what is remembered; the rest is to be hashed.
    private func enterRemembered(base: State) {
        let (wants, count) = (lookup.wants.base, lookup.wantCount)
        let (values, known) = (base.slotValuesBase, base.slotCount)
        for i in 0..<count {
            guard let id = cachedSlot(wants[i].key), Int(id) < known else { continue }
            wants[i].id = id
            millrace_prefetch(values + Int(id))
        }
        for i in 0..<count {
            let want = wants[i]
            if want.id != .max {
                place(overlay.slot(id: want.id, contract: want.contract, base: base), want.place)
                continue
            }
            if let entry = lookup.unknown.find(want.key, where: { _ in true }) {
                place(entry, want.place)
                continue
            }
            guard let address = address(of: want.holder, base: base) else { continue }
            lookup.append(
                SlotRequest(
                    place: want.place, key: want.key, contract: want.contract, holder: address,
                    fact: want.fact,
                    spender: want.spender))
        }
    }

    private func hashAndFind(_ from: Int, _ end: Int, base: State) {
        lookup.keys.removeAll(keepingCapacity: true)
        let (left, right) = (lookup.left.base, lookup.right.base)
        // The one hash of a balance, or the inner one of an allowance.
        for i in from..<end {
            let request = lookup.requests.base[i]
            let token = facts.token(request.fact)
            let isAllowance = request.spender != .max
            let base = (isAllowance ? token?.allowanceBase : token?.base) ?? .zero
            let isSwapped = !isAllowance && token?.keyFirst == false
            left[i - from] = isSwapped ? base : request.holder.word
            right[i - from] = isSwapped ? request.holder.word : base
        }
        Keccak256.mappingSlots(keys: left, bases: right, count: end - from, into: right)
        var outer = 0
        for i in from..<end where lookup.requests.base[i].spender != .max {
            left[outer] = facts.spender(lookup.requests.base[i].spender)?.word ?? .zero
            lookup.inner.base[outer] = right[i - from]
            outer += 1
        }
        Keccak256.mappingSlots(keys: left, bases: lookup.inner.base, count: outer, into: lookup.inner.base)
        outer = 0
        for i in from..<end {
            let request = lookup.requests.base[i]
            var number = right[i - from]
            if request.spender != .max {
                number = lookup.inner.base[outer]
                outer += 1
            }
            lookup.keys.append(SlotKey(account: AccountID(request.contract), slot: number))
        }
        base.slots(lookup.keys, found: &lookup.found)
        for i in from..<end {
            let request = lookup.requests.base[i]
            if let id = lookup.found[i - from] {
                remember(request.key, id.index)
                place(overlay.slot(id: id.index, contract: request.contract, base: base), request.place)
            } else if let entry = lookup.unknown.find(request.key, where: { _ in true }) {
                place(entry, request.place)
            } else {
                let entry = overlay.slot(unknown: lookup.keys[i - from].slot, contract: request.contract)
                lookup.unknown.insert(request.key, entry)
                place(entry, request.place)
            }
        }
    }
}
