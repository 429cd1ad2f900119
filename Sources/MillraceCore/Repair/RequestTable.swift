/// Requests that are out: numbered, so that each answer finds its request, and bounded.
///
/// A number is a slot (low 9 bits) and a generation (high 7): an answer to a request that is long over does not match
/// the one that has its slot now.

import MillraceBase
import MillraceWire

struct RepairRequest: BitwiseCopyable {
    enum Kind: BitwiseCopyable {
        /// Shreds of one slice.
        case shreds
        /// The header of one slice whose shreds wait without it.
        case header
        /// Whole heights.
        case catchUp(first: UInt64, last: UInt64)
    }
    var kind: Kind
    var key: SliceKey
    /// Still expected.
    var shreds: StripeSet
    /// Index of the parent asked.
    var parent: Int
    var sentAt: Instant
    var deadline: Instant
    /// Shreds still to come, as far as known; counts against the window.
    var outstanding: Int
    /// What `outstanding` was at the start.
    let asked: Int
    var isAnswered = false
    /// When another parent is asked for the same.
    var repeatsAt = Instant.distantFuture
    /// Of a catch-up: the highest height that has come of it. What is missing below was lost, not late, because a parent
    /// answers in order.
    var progress: UInt64 = 0
    /// And since when what was asked for after it has come.
    var overtakenAt = Instant.distantFuture

    init(
        kind: Kind, key: SliceKey, shreds: StripeSet, parent: Int, sentAt: Instant, deadline: Instant,
        outstanding: Int
    ) {
        self.kind = kind
        self.key = key
        self.shreds = shreds
        self.parent = parent
        self.sentAt = sentAt
        self.deadline = deadline
        self.outstanding = outstanding
        asked = outstanding
    }

    /// Whether a shred of this slice can be an answer.
    func concerns(_ key: SliceKey) -> Bool {
        if case .catchUp(_, let last) = kind { key.firstHeight <= last } else { key == self.key }
    }

    /// So much of it did not come that the link, not chance, is to blame.
    var isStarved: Bool { asked >= 4 && outstanding * 2 > asked }
}

struct RequestTable {
    /// The slots above are `WindowFetch`'s.
    static let requestsMax = WindowFetch.firstSlot

    private var slots: [RepairRequest?] = Array(repeating: nil, count: requestsMax)
    private var generations: [UInt16] = Array(repeating: 0, count: requestsMax)
    private var free: [UInt16] = (0..<UInt16(requestsMax)).reversed()
    /// Slots in use, in no particular but reproducible order.
    private(set) var active: [UInt16] = []
    /// Shreds asked for and not yet here, over all requests.
    private(set) var outstanding = 0

    init() {
        active.reserveCapacity(RequestTable.requestsMax)
    }

    var isFull: Bool { free.isEmpty }

    /// The number of a new request; nil when there are too many.
    mutating func open(_ request: RepairRequest) -> UInt16? {
        guard let slot = free.popLast() else { return nil }
        generations[Int(slot)] = (generations[Int(slot)] + 1) & 0x7F
        slots[Int(slot)] = request
        active.append(slot)
        outstanding += request.outstanding
        return number(slot: slot)
    }

    func number(slot: UInt16) -> UInt16 { slot | generations[Int(slot)] << 9 }

    /// The request with this number, if it is still out.
    subscript(number: UInt16) -> RepairRequest? {
        let slot = Int(number & 0x1FF)
        guard slot < RequestTable.requestsMax else { return nil }
        return generations[slot] == number >> 9 ? slots[slot] : nil
    }

    mutating func update(_ number: UInt16, _ request: RepairRequest) {
        guard let old = self[number] else { return }
        outstanding += request.outstanding - old.outstanding
        slots[Int(number & 0x1FF)] = request
    }

    mutating func close(_ number: UInt16) {
        guard let old = self[number] else { return }
        let slot = number & 0x1FF
        outstanding -= old.outstanding
        slots[Int(slot)] = nil
        if let place = active.firstIndex(of: slot) {
            active.swapAt(place, active.count - 1)
            active.removeLast()
        }
        free.append(slot)
    }
}
