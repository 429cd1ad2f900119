/// Contract facts by id, ready for use: what the state knows, and behind it what the payload under way brought.

internal import CPrefetch
internal import MillraceBase
internal import MillraceCrypto
internal import MillraceDiff

/// A token as operations need it.
struct TokenFact: BitwiseCopyable {
    var contract: UInt32
    var base: U256
    var keyFirst: Bool
    var hasAllowances = false
    var hasSupply = false
    /// For the cache: the fact that named the allowances.
    var allowances: UInt32 = 0
    var allowanceBase = U256.zero
    var supplySlot = U256.zero

    /// The slot of a holder's amount.
    func slot(of holder: Address) -> U256 {
        keyFirst
            ? Keccak256.mappingSlot(key: holder.word, base: base)
            : Keccak256.mappingSlot(key: base, base: holder.word)
    }
}

struct PoolFact: BitwiseCopyable {
    var contract: UInt32
    var token0: UInt32
    var token1: UInt32
    var kept: UInt32
}

final class FactBook {
    enum Kind: UInt8 { case token, allowances, supply, spender, pool }

    private(set) var count = 0
    private var kinds = Scratch<UInt8>(capacity: 256)
    /// Index into `tokens`, `pools` or `spenders`; 0 for the others.
    private var places = Scratch<UInt32>(capacity: 256)
    private var tokens: [TokenFact] = []
    private var pools: [PoolFact] = []
    private var spenders: [Address] = []

    /// As many facts as the state has, no more.
    func match(_ state: State) {
        if count > state.facts.count {
            count = 0
            tokens.removeAll(keepingCapacity: true)
            pools.removeAll(keepingCapacity: true)
            spenders.removeAll(keepingCapacity: true)
        }
        while count < state.facts.count { append(state.facts[count]) }
    }

    /// References must be in range and of the kind asked for; a fact about something else is kept, without effect.
    func append(_ fact: ContractFact) {
        if count == kinds.capacity {
            kinds.grow(to: count + 1, keeping: count)
            places.grow(to: kinds.capacity, keeping: count)
        }
        var place = 0
        let kind: Kind
        switch fact {
        case .token(let contract, let base, let keyFirst):
            kind = .token
            place = tokens.count
            tokens.append(TokenFact(contract: contract.index, base: base, keyFirst: keyFirst))
        case .allowances(let token, let base):
            kind = .allowances
            if let place = tokenPlace(token.index) {
                tokens[place].hasAllowances = true
                tokens[place].allowances = UInt32(truncatingIfNeeded: count)
                tokens[place].allowanceBase = base
            }
        case .supply(let token, let slot):
            kind = .supply
            if let place = tokenPlace(token.index) {
                tokens[place].hasSupply = true
                tokens[place].supplySlot = slot
            }
        case .spender(let address):
            kind = .spender
            place = spenders.count
            spenders.append(address)
        case .pool(let contract, let token0, let token1, let kept):
            place = pools.count
            // A pool of what is no token is no pool.
            if tokenPlace(token0.index) != nil, tokenPlace(token1.index) != nil {
                kind = .pool
                pools.append(
                    PoolFact(
                        contract: contract.index, token0: token0.index, token1: token1.index,
                        kept: UInt32(kept)))
            } else {
                kind = .supply
            }
        }
        kinds.base[count] = kind.rawValue
        places.base[count] = UInt32(truncatingIfNeeded: place)
        count += 1
    }

    @inline(__always)
    private func place(_ fact: UInt32, _ kind: Kind) -> Int? {
        guard Int(fact) < count, kinds.base[Int(fact)] == kind.rawValue else { return nil }
        return Int(places.base[Int(fact)])
    }

    private func tokenPlace(_ fact: UInt32) -> Int? { place(fact, .token) }

    func isToken(_ fact: UInt32) -> Bool { place(fact, .token) != nil }
    func isPool(_ fact: UInt32) -> Bool { place(fact, .pool) != nil }
    func isSpender(_ fact: UInt32) -> Bool { place(fact, .spender) != nil }

    /// Nil for what is no token.
    @inline(__always)
    func token(_ fact: UInt32) -> TokenFact? { place(fact, .token).map { tokens[$0] } }
    @inline(__always)
    func pool(_ fact: UInt32) -> PoolFact? { place(fact, .pool).map { pools[$0] } }
    @inline(__always)
    func spender(_ fact: UInt32) -> Address? { place(fact, .spender).map { spenders[$0] } }
}

/// Which slot holds whose amount: saves the hashing and the look-up for those seen lately. What it says is what hashing
/// would, so it is free to forget. Facts and accounts that the payload under way brings are left out: it may be refused
/// yet, and another bring others under the same ids.
struct HolderSlotCache: ~Copyable {
    private struct Cell: BitwiseCopyable {
        var key: UInt64
        var id: UInt32
    }

    private static var sizeMax: Int { 1 << 20 }
    /// What the base of the payload under way knows.
    private var factEnd: UInt64 = 0
    private var accountEnd: UInt64 = 0
    private var slotEnd = 0
    private var cells: UnsafeMutablePointer<Cell>
    private var mask = (1 << 12) - 1
    private var inserted = 0

    init() {
        cells = .allocate(capacity: mask + 1)
        cells.initialize(repeating: Cell(key: .max, id: 0), count: mask + 1)
    }

    deinit { cells.deallocate() }

    /// In place of a spender: an amount, a plain slot.
    static var balance: UInt32 { 0x1FFF }
    static var plain: UInt32 { 0x1FFE }

    /// A name for an entry. Spenders from `plain` on have none.
    @inline(__always)
    static func key(fact: UInt32, holder: UInt32, spender: UInt32 = balance) -> UInt64 {
        UInt64(fact) << 44 | UInt64(holder) << 13 | UInt64(spender)
    }

    @inline(__always)
    private static func place(_ key: UInt64) -> Int {
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 34)
    }

    @inline(__always)
    func find(_ key: UInt64) -> UInt32? {
        let cell = cells[HolderSlotCache.place(key) & mask]
        return cell.key == key ? cell.id : nil
    }

    /// A state that has gone back forgets ids, and so does the cache.
    mutating func begin(facts: Int, accounts: Int, slots: Int) {
        if UInt64(facts) < factEnd || UInt64(accounts) < accountEnd || slots < slotEnd {
            cells.update(repeating: Cell(key: .max, id: 0), count: mask + 1)
        }
        (factEnd, accountEnd, slotEnd) = (UInt64(facts), UInt64(accounts), slots)
    }

    /// Known to the base by all its ids.
    @inline(__always)
    private func isLasting(_ key: UInt64) -> Bool {
        let spender = key & 0x1FFF
        return key >> 44 < factEnd && key >> 13 & 0x7FFF_FFFF < accountEnd
            && (spender == 0x1FFF || spender < factEnd)
    }

    /// Asks for the memory that `find` will read.
    @inline(__always)
    func prefetch(_ key: UInt64) { millrace_prefetch(cells + (HolderSlotCache.place(key) & mask)) }

    mutating func insert(_ key: UInt64, _ id: UInt32) {
        guard isLasting(key) else { return }
        inserted += 1
        if inserted > mask, mask + 1 < HolderSlotCache.sizeMax { grow() }
        cells[HolderSlotCache.place(key) & mask] = Cell(key: key, id: id)
    }

    private mutating func grow() {
        let (old, oldCount) = (cells, mask + 1)
        mask = oldCount * 4 - 1
        cells = .allocate(capacity: mask + 1)
        cells.initialize(repeating: Cell(key: .max, id: 0), count: mask + 1)
        for i in 0..<oldCount where old[i].key != .max {
            cells[HolderSlotCache.place(old[i].key) & mask] = old[i]
        }
        old.deallocate()
    }
}
