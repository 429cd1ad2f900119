/// What the finder knows of contracts: the stream's facts, indexed by the keys that writes name, and candidates that are not
/// facts yet.
///
/// It follows `State.facts` lazily, so that a builder over a state from a recording or snapshot knows what the stream knew.
/// Facts made while a diff is sealed get the ids they will have once it is applied; if it never is, the book is read anew.
/// Memory: one line per fact, and at most `candidatesMax` candidates.

internal import MillraceBase

/// A mapping of a contract whose keys look like addresses: a token's balances if it has a fact.
struct TokenGroup: BitwiseCopyable {
    let contract: AccountID
    let base: U256
    /// The contract's code, which tells what its calls cost.
    let code: CodeID
    var fact = FactID.none
    var hasAllowances = false
    var allowanceBase = U256.zero
    var hasSupply = false
    var supplySlot = U256.zero
}

struct PoolRecord: BitwiseCopyable {
    let contract: AccountID
    let fact: FactID
    /// Indices of groups.
    let token0: UInt32, token1: UInt32
    let kept: UInt16
    /// Of the section at hand: the reserves the last swap left, and how many swaps there were.
    var section: UInt64 = 0
    /// Something but swaps moves what the pool holds: executing its swaps need not find the reserves that they found.
    var isSpoilt = false
    var turn: UInt32 = 0
    var reserve0: UInt128 = 0
    var reserve1: UInt128 = 0
}

struct FactBook {
    static let candidatesMax = 1 << 16
    static let noGroup = UInt32.max

    private struct GroupKey: Hashable {
        let contract: AccountID
        let base: U256
    }

    private(set) var groups: [TokenGroup] = []
    private(set) var pools: [PoolRecord] = []
    // Looked up only, never iterated.
    private var groupIndex: [GroupKey: UInt32] = [:]
    private var poolIndex: [AccountID: UInt32] = [:]
    private var spenderIndex: [Address: FactID] = [:]
    /// The facts taken in, those of the diff being sealed included.
    private var known: [ContractFact] = []
    /// The group of a token's fact, `noGroup` for other facts.
    private var groupOfFact: [UInt32] = []
    /// The pool of a pool's fact, `noGroup` for other facts.
    private var poolOfFact: [UInt32] = []
    /// Known facts that the state had when the last diff was begun.
    private var settled = 0
    private var candidates = 0

    // MARK: Following the state

    /// Call before a diff's first question.
    mutating func follow(_ state: State) {
        let facts = state.facts
        var agrees = facts.count >= known.count
        var i = settled
        while agrees, i < known.count {
            agrees = facts[i] == known[i]
            i += 1
        }
        if !agrees || candidates > FactBook.candidatesMax { self = FactBook() }
        for i in known.count..<facts.count { take(facts[i], code: codes(state)) }
        settled = facts.count
    }

    private func codes(_ state: State) -> (AccountID) -> CodeID {
        { Int($0.index) < state.accountCount ? state.value(of: $0).code : .none }
    }

    private mutating func take(_ fact: ContractFact, code: (AccountID) -> CodeID) {
        let id = FactID(UInt32(truncatingIfNeeded: known.count))
        known.append(fact)
        groupOfFact.append(FactBook.noGroup)
        poolOfFact.append(FactBook.noGroup)
        switch fact {
        case .token(let contract, let base, let keyFirst):
            // Slots of the other order come without preimages.
            guard keyFirst else { return }
            let group = group(contract, base, code: code(contract))
            if groups[Int(group)].fact == .none {
                groups[Int(group)].fact = id
                candidates -= 1
            }
            groupOfFact[Int(id.index)] = group
        case .allowances(let token, let base):
            guard let group = self.group(of: token) else { return }
            groups[group].hasAllowances = true
            groups[group].allowanceBase = base
        case .supply(let token, let slot):
            guard let group = self.group(of: token) else { return }
            groups[group].hasSupply = true
            groups[group].supplySlot = slot
        case .spender(let address):
            if spenderIndex[address] == nil { spenderIndex[address] = id }
        case .pool(let contract, let token0, let token1, let kept):
            guard let group0 = group(of: token0), let group1 = group(of: token1), poolIndex[contract] == nil
            else { return }
            poolIndex[contract] = UInt32(truncatingIfNeeded: pools.count)
            poolOfFact[Int(id.index)] = UInt32(truncatingIfNeeded: pools.count)
            pools.append(
                PoolRecord(
                    contract: contract, fact: id, token0: UInt32(group0), token1: UInt32(group1), kept: kept))
        }
    }

    private func group(of token: FactID) -> Int? {
        guard Int(token.index) < groupOfFact.count else { return nil }
        let group = groupOfFact[Int(token.index)]
        return group == FactBook.noGroup ? nil : Int(group)
    }

    // MARK: Questions

    /// The group of a mapping, a new candidate if need be.
    mutating func group(_ contract: AccountID, _ base: U256, code: @autoclosure () -> CodeID) -> UInt32 {
        let key = GroupKey(contract: contract, base: base)
        if let group = groupIndex[key] { return group }
        let group = UInt32(truncatingIfNeeded: groups.count)
        groups.append(TokenGroup(contract: contract, base: base, code: code()))
        groupIndex[key] = group
        candidates += 1
        return group
    }

    func pool(_ contract: AccountID) -> Int? { poolIndex[contract].map { Int($0) } }

    /// Something but a swap wrote the reserves of this contract, if it is a pool.
    mutating func spoil(_ contract: AccountID) {
        if let pool = pool(contract) { pools[pool].isSpoilt = true }
    }

    func isSpoilt(_ fact: FactID) -> Bool {
        guard Int(fact.index) < poolOfFact.count, poolOfFact[Int(fact.index)] != FactBook.noGroup else {
            return true
        }
        return pools[Int(poolOfFact[Int(fact.index)])].isSpoilt
    }

    func spender(_ address: Address) -> FactID? { spenderIndex[address] }

    @inline(__always)
    mutating func withPool<Result>(_ pool: Int, _ body: (inout PoolRecord) -> Result) -> Result {
        body(&pools[pool])
    }

    // MARK: Learning

    /// Takes a new fact into the diff being sealed; nil when there are as many as there may be.
    mutating func learn(_ fact: ContractFact, into diff: inout StateDiff) -> FactID? {
        guard known.count < StateLimits.factCountMax else { return nil }
        let id = FactID(UInt32(truncatingIfNeeded: known.count))
        diff.newFacts.append(fact)
        take(fact) { _ in .none }
        return id
    }
}
