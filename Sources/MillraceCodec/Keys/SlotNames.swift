/// The column of slots named by what they are, contract by contract: plain small numbers, entries of mappings and of mappings
/// of mappings (base and key, the key an account of this payload more often than not), elements of arrays, neighbours.
/// The receiver hashes and looks up what it got: a slot the state knows, or a new one. Spec 30.5.5.
///
/// It costs some 12 bits a slot where a place among 2^30 costs 23 and a new slot's number 256. Preimages come with the
/// diff as hints; the encoder checks each by hashing, so a wrong one costs nothing but its place here.
///
/// Known slots that have no such name stay with the places (30.5.2); new ones are written out. The encoder chooses, contract
/// by contract. Order of coding: contracts by list, then slots by kind, so that all sets are ascending and coded as gaps.

internal import MillraceBase
internal import MillraceCrypto
internal import MillraceDiff

/// What a slot is to its contract, as far as its name tells; a context for its value.
enum SlotKind: UInt8 {
    case unknown = 0
    case plain = 1
    case mapping = 2
    case nested = 3
    case array = 4
    case neighbour = 5
    case literal = 6
}

/// A slot as named: the state's or new.
struct NamedSlot: BitwiseCopyable {
    var account: UInt32
    var kind: UInt8
    /// `.max` for a new one.
    var id: UInt32
    var slot: U256
}

struct SlotNames: ~Copyable {
    // MARK: Shapes shared by both sides

    /// The arrays whose data begin at the hash of these small slots are recognised.
    static var arrayBases: Int { 64 }
    static var plainEnd: UInt64 { 1 << 31 }
    static var neighbourMax: UInt64 { 256 }
    /// Kinds in the order they are coded, each announced by a bit.
    static var kindCount: Int { 6 }
    static var plains: Int { 0 }
    static var mappings: Int { 1 }
    static var nesteds: Int { 2 }
    static var arrays: Int { 3 }
    static var words: Int { 4 }
    static var neighbours: Int { 5 }
    /// Keys written out that can be named again.
    static var literalsMax: Int { 1024 }

    static func place(of kind: UInt8) -> Int {
        switch SlotKind(rawValue: kind) {
        case .plain: plains
        case .mapping: mappings
        case .nested: nesteds
        case .array: arrays
        case .neighbour: neighbours
        case .literal, .unknown, nil: words
        }
    }

    enum KeySymbol: Int {
        // 0…2: an account of list 0…2.
        case number = 3
        /// An account of the state by its place.
        case place = 4
        case address = 5
        case word = 6
        /// A key written out before in this payload.
        case again = 7
    }

    struct Target: BitwiseCopyable {
        var account: UInt32
        var id: UInt32
        var slot: U256
        var kind = SlotKind.unknown.rawValue
        /// A mapping whose base is an account and whose key is small, the other way round (Vyper).
        var isSwapped = false
        var base = U256.zero
        var outer = U256.zero
        var key = U256.zero
        /// Account list and index of `key`, when it is a named account; list 3 otherwise.
        var list: UInt8 = 3
        var index: UInt32 = 0
        /// A neighbour's distance to the target before it.
        var distance: UInt32 = 0
    }

    var named = NamedAccounts()
    var targets = Scratch<Target>(capacity: 256)
    var targetCount = 0
    /// The contracts of named slots, and the order in which they follow.
    var accounts = Scratch<UInt32>(capacity: 64)
    var order: [UInt32] = []
    var spare = Scratch<UInt32>(capacity: 64)
    /// Slots named by place: account and id, ascending.
    private var placed: [UInt64] = []
    private var state: State?
    /// Keys written out in this payload.
    var literals: [U256] = []
    /// Slots of the contract at hand that a neighbour may follow, in the order they were named.
    var parents: [U256] = []
    private var arrayHashes: [U256] = []

    /// Takes the slots named by place, which neighbours may follow.
    mutating func preparePlaces(_ ids: UnsafeBufferPointer<UInt32>, _ base: State) {
        state = base
        placed.removeAll(keepingCapacity: true)
        let keys = base.slotKeysBase
        for id in ids { placed.append(UInt64(keys[Int(id)].account.index) << 32 | UInt64(id)) }
        placed.sort()
    }

    mutating func beginContract(_ account: UInt32) {
        parents.removeAll(keepingCapacity: true)
        guard let state, !placed.isEmpty else { return }
        var (low, high) = (0, placed.count)
        while low < high {
            let middle = (low + high) / 2
            if placed[middle] >> 32 < UInt64(account) { low = middle + 1 } else { high = middle }
        }
        while low < placed.count, placed[low] >> 32 == UInt64(account) {
            parents.append(state.slotKeysBase[Int(placed[low] & 0xFFFF_FFFF)].slot)
            low += 1
        }
    }

    /// keccak(base) of an array in a small slot.
    mutating func arrayStart(_ base: Int) -> U256 {
        if arrayHashes.isEmpty {
            for base in 0..<SlotNames.arrayBases {
                arrayHashes.append(Keccak256.hash(U256(UInt64(base)).bigEndianBytes).word)
            }
        }
        return arrayHashes[base]
    }
}
