/// What `DiffBuilder` keeps per touched account, slot and code until it seals.

internal import MillraceBase

/// A code id the state knows, or the index of a pending code.
struct CodeReference: Equatable, BitwiseCopyable {
    /// Bit 31 marks a pending one.
    let raw: UInt32

    static let none = CodeReference(known: .none)

    init(known id: CodeID) { raw = id.index }
    init(pending index: Int) { raw = 0x8000_0000 | UInt32(index) }

    var pendingIndex: Int? { raw >> 31 == 1 ? Int(raw & 0x7FFF_FFFF) : nil }
}

struct PendingAccount: PendingEntry {
    /// Stands for "no id yet".
    static let unknown = UInt32.max

    let address: Address
    let hash: UInt64
    var place: UInt32 = 0
    /// The state's id; given by sealing to accounts that were unknown.
    var id: UInt32
    let old: AccountValue
    var balance: U256
    var nonce: UInt64
    var code: CodeReference
    /// The newest of its pending slots + 1; 0 for none.
    var newestSlot: UInt32 = 0
    /// The transactions that last counted it as a changed account and as a contract with changed slots.
    var countedIn = UInt32.max
    var contractCountedIn = UInt32.max
    /// The transaction that last traced it, and where in the trace.
    var tracedIn = UInt32.max
    var tracedAt: UInt32 = 0
    var isDestroyed = false
    /// A new slot needs the account's id.
    var isNeeded = false

    init(address: Address, hash: UInt64, id: UInt32?, value: AccountValue) {
        self.address = address
        self.hash = hash
        self.id = id ?? PendingAccount.unknown
        old = value
        balance = value.balance
        nonce = value.nonce
        code = CodeReference(known: value.code)
    }

    var isAbsent: Bool { nonce == 0 && code == .none && balance.isZero }
    var isChanged: Bool {
        balance != old.balance || nonce != old.nonce || code != CodeReference(known: old.code)
    }

    /// What stands for the account in its slots' hashes: the id, which makes the hash that of the state's index too, or
    /// its place among the pending ones.
    @inline(__always)
    func identity(_ index: Int) -> UInt32 {
        id != PendingAccount.unknown ? id : 0x8000_0000 | UInt32(truncatingIfNeeded: index)
    }
}

struct PendingSlot: PendingEntry {
    static let unknown = UInt32.max

    let slot: U256
    /// Index of the pending account.
    let account: UInt32
    var place: UInt32 = 0
    let hash: UInt64
    /// The next older pending slot of the account + 1; 0 for none.
    let nextSlot: UInt32
    var id = PendingSlot.unknown
    /// Index + 1 among the preimages; 0 for none.
    var preimage: UInt32 = 0
    var countedIn = UInt32.max
    /// The transaction that last traced it, and where in the trace.
    var tracedIn = UInt32.max
    var tracedAt: UInt32 = 0
    var old = U256.zero
    var value = U256.zero

    init(slot: U256, account: UInt32, hash: UInt64, nextSlot: UInt32) {
        self.slot = slot
        self.account = account
        self.hash = hash
        self.nextSlot = nextSlot
    }
}

struct PendingCode {
    let hash: Hash32
    let bytes: [UInt8]
    var isUsed = false
    var id = CodeID.none

    init(hash: Hash32, bytes: [UInt8]) {
        self.hash = hash
        self.bytes = bytes
    }
}

/// Lists that sealing fills and empties, kept for their memory. Known cells as id in the upper and entry in the lower half.
struct SealScratch {
    var knownAccounts: [UInt64] = []
    var knownSlots: [UInt64] = []
    var newAccounts: [UInt32] = []
    var newSlots: [UInt32] = []

    mutating func removeAll() {
        knownAccounts.removeAll(keepingCapacity: true)
        knownSlots.removeAll(keepingCapacity: true)
        newAccounts.removeAll(keepingCapacity: true)
        newSlots.removeAll(keepingCapacity: true)
    }
}

extension [UInt64] {
    /// Sorts by the upper 32 bits, least significant byte first (stable), skipping bytes that are zero everywhere. About
    /// five times as fast as `sort()` on the few thousand ids of a mini-block, and it allocates nothing once `spare` has
    /// grown.
    mutating func sortByUpperHalf(_ spare: inout [UInt64]) {
        if count < 2 { return }
        if spare.count < count { spare.append(contentsOf: repeatElement(0, count: count - spare.count)) }
        let total = count
        var bits: UInt64 = 0
        for key in self { bits |= key }
        withUnsafeMutableBufferPointer { this in
            spare.withUnsafeMutableBufferPointer { other in
                // 1 KiB: as much as is taken from the stack.
                withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 256) { starts in
                    var (from, to) = (this.baseAddress!, other.baseAddress!)
                    var shift: UInt64 = 32
                    while shift < 64, bits >> shift != 0 {
                        starts.initialize(repeating: 0)
                        for i in 0..<total { starts[Int(from[i] >> shift & 255)] &+= 1 }
                        var sum: UInt32 = 0
                        for digit in 0..<256 {
                            let size = starts[digit]
                            starts[digit] = sum
                            sum &+= size
                        }
                        for i in 0..<total {
                            let digit = Int(from[i] >> shift & 255)
                            to[Int(starts[digit])] = from[i]
                            starts[digit] &+= 1
                        }
                        swap(&from, &to)
                        shift += 8
                    }
                    if from != this.baseAddress! { this.baseAddress!.update(from: from, count: total) }
                }
            }
        }
    }
}
