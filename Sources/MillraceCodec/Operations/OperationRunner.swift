/// Runs operations over the base state and keeps what they predict in an overlay. Encoder and decoder run the same ones, so
/// they predict the same, right or wrong. Nothing here can fail but a section whose swaps wait for one another.
///
/// The rules themselves are in Rules/: who pays whom (`MoveRule`), what an allowance loses (`AllowanceRule`), what a swap buys
/// and leaves behind (`SwapRule`), what minting adds (`SupplyRule`), fees (`FeeRule`).

internal import MillraceBase
internal import MillraceCrypto
internal import MillraceDiff

/// What an action tells about its transaction's gas (Spec 30.12.8): the branches that were taken, and bytes of call data.
struct ActionTraits: BitwiseCopyable {
    var branches: UInt64 = 0
    var nonzeroBytes = 0
}

/// A pool in the payload under way: its fact and the overlay's entries of its slots.
struct PoolEntries: BitwiseCopyable {
    var fact: PoolFact
    var balance0: Int
    var balance1: Int
    var reserves: Int
    var prices: (Int, Int)
}

final class OperationRunner {
    var overlay = Overlay()
    let facts = FactBook()
    private var cache = HolderSlotCache()
    var lookup = SlotLookup()
    /// The action that runs.
    private(set) var running = 0

    private var poolsByFact = EntryTable()
    private var pools = Scratch<PoolEntries>(capacity: 256)
    private var poolCount = 0

    /// Of the section under way, by action.
    private(set) var traits = Scratch<ActionTraits>(capacity: 4096)
    private var amountsOut = Scratch<U256>(capacity: 4096)
    private var isDone = Scratch<Bool>(capacity: 4096)
    /// The section's swaps by pool and turn: actions, and where each pool's begin.
    private var queue = Scratch<UInt32>(capacity: 4096)
    private var heads = Scratch<UInt32>(capacity: 256)
    private var waiting = Scratch<UInt32>(capacity: 256)

    /// Of accounts that the payload's earlier sections brought.
    private var newAddresses: [Address] = []
    private(set) var timestamp: UInt32 = 0
    private var knownAccounts = 0

    func begin(base: State) {
        overlay.removeAll()
        lookup.unknown.removeAll()
        facts.match(base)
        cache.begin(facts: base.facts.count, accounts: base.accountCount, slots: base.slotCount)
        poolsByFact.removeAll()
        poolCount = 0
        newAddresses.removeAll(keepingCapacity: true)
        knownAccounts = base.accountCount
    }

    /// Accounts that get the next ids from here on.
    func name(accounts: some Sequence<Address>) { newAddresses.append(contentsOf: accounts) }

    /// Accounts the base knows.
    var accountStart: Int { knownAccounts }
    /// Accounts with an id so far.
    var accountEnd: Int { knownAccounts + newAddresses.count }

    // MARK: Places

    /// Nil for an id that the payload has not brought yet.
    @inline(__always)
    func address(of id: UInt32, base: State) -> Address? {
        if Int(id) < knownAccounts { return base.accountAddressesBase[Int(id)] }
        let at = Int(id) - knownAccounts
        return at < newAddresses.count ? newAddresses[at] : nil
    }

    @inline(__always)
    func address(of party: Party, _ literals: UnsafeBufferPointer<Address>, base: State) -> Address {
        if let literal = party.literal { return literals[literal] }
        return address(of: party.raw, base: base) ?? Address(truncating: .zero)
    }

    /// The entry of a plain slot.
    func slot(_ number: U256, contract: UInt32, base: State) -> Int {
        if let id = base.slot(SlotKey(account: AccountID(contract), slot: number)) {
            return overlay.slot(id: id.index, contract: contract, base: base)
        }
        return overlay.slot(unknown: number, contract: contract)
    }

    @inline(__always)
    private func slot(
        cached key: UInt64?, contract: UInt32, base: State, number: () -> U256
    ) -> Int {
        if let key, let id = cache.find(key), Int(id) < base.slotCount {
            return overlay.slot(id: id, contract: contract, base: base)
        }
        if let key, let entry = lookup.unknown.find(key, where: { _ in true }) { return entry }
        let number = number()
        if let id = base.slot(SlotKey(account: AccountID(contract), slot: number)) {
            if let key { cache.insert(key, id.index) }
            return overlay.slot(id: id.index, contract: contract, base: base)
        }
        return overlay.slot(unknown: number, contract: contract)
    }

    @inline(__always)
    func cachedSlot(_ key: UInt64) -> UInt32? { cache.find(key) }

    @inline(__always)
    func prefetchCached(_ key: UInt64) { cache.prefetch(key) }

    func remember(_ key: UInt64, _ id: UInt32) { cache.insert(key, id) }

    /// The entry of a holder's amount.
    @inline(__always)
    func balance(
        _ token: TokenFact, fact: UInt32, _ holder: Party, _ literals: UnsafeBufferPointer<Address>,
        base: State
    ) -> Int {
        slot(
            cached: holder.literal == nil ? HolderSlotCache.key(fact: fact, holder: holder.raw) : nil,
            contract: token.contract, base: base
        ) { token.slot(of: address(of: holder, literals, base: base)) }
    }

    /// The entry of what `spender` may take of `owner`'s.
    @inline(__always)
    func allowance(
        _ token: TokenFact, _ owner: Party, spender: UInt32, _ literals: UnsafeBufferPointer<Address>,
        base: State
    ) -> Int? {
        guard token.hasAllowances, let address = facts.spender(spender) else { return nil }
        let isKept = owner.literal == nil && spender < HolderSlotCache.plain
        return slot(
            cached: isKept
                ? HolderSlotCache.key(fact: token.allowances, holder: owner.raw, spender: spender) : nil,
            contract: token.contract, base: base
        ) {
            Keccak256.nestedSlot(
                base: token.allowanceBase, outer: self.address(of: owner, literals, base: base).word,
                inner: address.word)
        }
    }

    /// The entry of an account; one without an id is kept by its address.
    func account(_ party: Party, _ literals: UnsafeBufferPointer<Address>, base: State) -> Int {
        if party.literal == nil {
            if Int(party.raw) < knownAccounts { return overlay.account(id: party.raw, base: base) }
            if let entry = overlay.accountEntry(id: party.raw) { return entry }
            let entry = overlay.account(unknown: address(of: party, literals, base: base))
            overlay.name(account: entry, id: party.raw)
            return entry
        }
        let address = address(of: party, literals, base: base)
        if let id = base.account(at: address) { return overlay.account(id: id.index, base: base) }
        return overlay.account(unknown: address)
    }

    /// The entries of a pool's slots. Nil for a fact that is no pool.
    @inline(__always)
    func pool(_ fact: UInt32, base: State) -> Int? {
        if let at = poolsByFact.find(UInt64(fact), where: { _ in true }) { return at }
        return enter(fact, base: base)
    }

    private func enter(_ fact: UInt32, base: State) -> Int? {
        guard let pool = facts.pool(fact), let token0 = facts.token(pool.token0),
            let token1 = facts.token(pool.token1)
        else { return nil }
        let none = UnsafeBufferPointer<Address>(start: nil, count: 0)
        let holder = Party(raw: pool.contract)
        let entries = PoolEntries(
            fact: pool, balance0: balance(token0, fact: pool.token0, holder, none, base: base),
            balance1: balance(token1, fact: pool.token1, holder, none, base: base),
            reserves: slot(SwapRule.reservesSlot, ofPool: fact, pool.contract, base: base),
            prices: (
                slot(SwapRule.price0Slot, ofPool: fact, pool.contract, base: base),
                slot(SwapRule.price1Slot, ofPool: fact, pool.contract, base: base)
            ))
        if poolCount == pools.capacity { pools.grow(to: poolCount + 1, keeping: poolCount) }
        pools.base[poolCount] = entries
        poolsByFact.insert(UInt64(fact), poolCount)
        poolCount &+= 1
        return poolCount &- 1
    }

    /// The entry of a pool's own slot, by the pool's fact and the slot's small number.
    private func slot(_ number: U256, ofPool fact: UInt32, _ contract: UInt32, base: State) -> Int {
        slot(
            cached: HolderSlotCache.key(
                fact: fact, holder: UInt32(truncatingIfNeeded: number.w0), spender: HolderSlotCache.plain),
            contract: contract, base: base
        ) { number }
    }

    @inline(__always)
    func entries(ofPool at: Int) -> PoolEntries { pools.base[at] }

    // MARK: Running a section

    /// Runs a section's actions: swaps in the order of their turns at each pool, everything else as listed. Turns must be
    /// 0, 1, 2 … at each pool. False when swaps wait for one another.
    func run(
        _ actions: UnsafeBufferPointer<Action>, _ literals: UnsafeBufferPointer<Address>, timestamp: UInt32,
        base: State
    ) -> Bool {
        self.timestamp = timestamp
        lookUp(actions, base: base)
        let count = actions.count
        traits.ensure(count)
        amountsOut.ensure(count)
        isDone.ensure(count)
        queue.ensure(count)
        // Counted by pool, then placed by turn.
        var swaps = 0
        for i in 0..<count {
            let action = actions[i]
            isDone.base[i] = false
            guard action.kind == .swap else {
                running = i
                traits.base[i] = runMove(action, literals, base: base)
                continue
            }
            traits.base[i] = ActionTraits()
            swaps &+= 1
        }
        if swaps == 0 { return true }
        return runSwaps(actions, literals, swaps: swaps, base: base)
    }

    private func runSwaps(
        _ actions: UnsafeBufferPointer<Action>, _ literals: UnsafeBufferPointer<Address>, swaps: Int,
        base: State
    ) -> Bool {
        let count = actions.count
        for action in actions where action.kind == .swap {
            if pool(action.fact.index, base: base) == nil { return false }
        }
        heads.ensure(poolCount * 2 + 1)
        waiting.ensure(poolCount + swaps)
        let (heads, ends) = (heads.base, heads.base + poolCount)
        heads.update(repeating: 0, count: poolCount * 2)
        for action in actions where action.kind == .swap {
            ends[pool(action.fact.index, base: base) ?? 0] &+= 1
        }
        var sum: UInt32 = 0
        for p in 0..<poolCount {
            heads[p] = sum
            sum &+= ends[p]
            ends[p] = sum
        }
        for i in 0..<count where actions[i].kind == .swap {
            let p = pool(actions[i].fact.index, base: base) ?? 0
            queue.base[Int(heads[p] &+ actions[i].turn)] = UInt32(truncatingIfNeeded: i)
        }

        var left = swaps
        var waitingCount = 0
        for p in 0..<poolCount where heads[p] < ends[p] {
            waiting.base[waitingCount] = UInt32(truncatingIfNeeded: p)
            waitingCount &+= 1
        }
        while waitingCount > 0 {
            waitingCount &-= 1
            let p = Int(waiting.base[waitingCount])
            while heads[p] < ends[p] {
                let i = Int(queue.base[Int(heads[p])])
                let action = actions[i]
                if action.isChained, !isDone.base[i &- 1] { break }
                let next =
                    i &+ 1 < count && actions[i &+ 1].kind == .swap && actions[i &+ 1].isChained
                    ? pool(actions[i &+ 1].fact.index, base: base) : nil
                let amountIn = action.isChained ? amountsOut.base[i &- 1] : action.amount
                running = i
                let swap = runSwap(
                    action, pool: p, amountIn: amountIn, feeds: next != nil, literals, base: base)
                amountsOut.base[i] = swap.amountOut
                traits.base[i] = swap.traits
                isDone.base[i] = true
                heads[p] &+= 1
                left &-= 1
                if let next, next != p, heads[next] < ends[next], Int(queue.base[Int(heads[next])]) == i &+ 1
                {
                    waiting.base[waitingCount] = UInt32(truncatingIfNeeded: next)
                    waitingCount &+= 1
                }
            }
        }
        return left == 0
    }

    @inline(__always)
    func amountOut(_ action: Int) -> U256 { amountsOut.base[action] }
}
