/// Finding the slots a section's actions are about, all at once and before any runs: known pairs of token and holder first, then
/// hashes and look-ups for the rest, side by side, so that memory is waited for once and not at each step. What is found
/// here is what `OperationRunner` would find later, one by one.

internal import MillraceBase
internal import MillraceCrypto
internal import MillraceDiff

/// A pair whose slot is not at hand.
struct SlotRequest: BitwiseCopyable {
    /// Name in the cache.
    var key: UInt64
    var contract: UInt32
    /// Holder, or owner of an allowance.
    var holder: Address
    var fact: UInt32
    /// Fact of the spender, for an allowance; `.max` else.
    var spender: UInt32
}

struct SlotLookup: ~Copyable {
    /// So many are under way at a time.
    static var batch: Int { 32 }

    var requests = Scratch<SlotRequest>(capacity: 1024)
    var count = 0
    var left = Scratch<U256>(capacity: SlotLookup.batch)
    var right = Scratch<U256>(capacity: SlotLookup.batch)
    var inner = Scratch<U256>(capacity: SlotLookup.batch)
    var keys: [SlotKey] = []
    var found: [SlotID?] = []
    /// By cache name, the overlay's entries of slots that the base does not know.
    var unknown = EntryTable()

    mutating func append(_ request: SlotRequest) {
        if count == requests.capacity { requests.grow(to: count + 1, keeping: count) }
        requests.base[count] = request
        count &+= 1
    }
}

extension OperationRunner {
    /// Enters the senders in the overlay.
    func lookUp(_ transactions: UnsafeBufferPointer<Transaction>, base: State) {
        var last = UInt32.max
        for transaction in transactions where transaction.sender.index != last {
            last = transaction.sender.index
            if Int(last) < base.accountCount { _ = overlay.account(id: last, base: base) }
        }
    }

    /// Enters the slots of holders with an account id in the overlay.
    func lookUp(_ actions: UnsafeBufferPointer<Action>, base: State) {
        lookup.count = 0
        for i in 0..<actions.count {
            let action = actions[i]
            switch action.kind {
            case .ether:
                continue
            case .transfer:
                want(action.fact.index, action.payer, spender: .max, base: base)
                want(action.fact.index, action.payee, spender: .max, base: base)
                if action.spender != .none {
                    want(action.fact.index, action.payer, spender: action.spender.index, base: base)
                }
            case .mint:
                want(action.fact.index, action.payee, spender: .max, base: base)
            case .burn:
                want(action.fact.index, action.payer, spender: .max, base: base)
            case .swap:
                guard let pool = facts.pool(action.fact.index) else { continue }
                if !action.isChained {
                    let token = action.zeroForOne ? pool.token0 : pool.token1
                    want(token, action.payer, spender: .max, base: base)
                    if action.spender != .none {
                        want(token, action.payer, spender: action.spender.index, base: base)
                    }
                }
                let isFeeding = i &+ 1 < actions.count && actions[i &+ 1].isChained
                if !isFeeding {
                    want(
                        action.zeroForOne ? pool.token1 : pool.token0, action.payee, spender: .max, base: base
                    )
                }
            }
        }
        var from = 0
        while from < lookup.count {
            let end = min(from + SlotLookup.batch, lookup.count)
            hashAndFind(from, end, base: base)
            from = end
        }
    }

    @inline(__always)
    private func want(_ fact: UInt32, _ holder: Party, spender: UInt32, base: State) {
        guard holder.literal == nil, let token = facts.token(fact) else { return }
        let key: UInt64
        if spender == .max {
            key = HolderSlotCache.key(fact: fact, holder: holder.raw)
        } else {
            guard token.hasAllowances, spender < 0x1FFF, facts.isSpender(spender) else { return }
            key = HolderSlotCache.key(fact: token.allowances, holder: holder.raw, spender: spender)
        }
        if let id = cachedSlot(key), Int(id) < base.slotCount {
            _ = overlay.slot(id: id, contract: token.contract, base: base)
            return
        }
        if lookup.unknown.find(key, where: { _ in true }) != nil { return }
        guard let address = address(of: holder.raw, base: base) else { return }
        lookup.append(
            SlotRequest(key: key, contract: token.contract, holder: address, fact: fact, spender: spender))
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
                _ = overlay.slot(id: id.index, contract: request.contract, base: base)
            } else if lookup.unknown.find(request.key, where: { _ in true }) == nil {
                let entry = overlay.slot(unknown: lookup.keys[i - from].slot, contract: request.contract)
                lookup.unknown.insert(request.key, entry)
            }
        }
    }
}
