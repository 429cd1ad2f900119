/// Code that both sides hold already, where the next code's likely continuation is looked up: a small dictionary, the newest
/// codes of the state, and the codes of the payload under way. Spec 30.11.3.
///
///     text   dictionary │ codes of the state, newest last │ codes of this payload
///
/// What it holds of the state is a function of the state's code table alone, brought up to date when a payload brings code;
/// payloads without code never touch it. At most 2 MiB and one code of it, since older codes are dropped a MiB at a time.

internal import MillraceBase
internal import MillraceDiff

struct CodeHistory: ~Copyable {
    private static var stepBytes: Int { 1 << 20 }
    private static var indexBits: Int { 16 }
    /// A place is looked up by this many bytes before it.
    static var keyBytes: Int { 4 }

    private(set) var text = Scratch<UInt8>(capacity: 1 << 12)
    private(set) var count = 0
    /// The part that the state has.
    private(set) var knownCount = 0
    /// Where the newest code of the text begins.
    private(set) var newestStart = 0

    /// By hash of the bytes before it: the latest place. `fresh` is for places in the payload's own codes.
    private let index: UnsafeMutablePointer<UInt32>
    private let fresh: UnsafeMutablePointer<UInt32>
    private var freshUsed = false

    private var syncedCodes = 0
    private var syncedHash = State.emptyCodeHash
    private var syncedBytes = 0
    private var knownNewestStart = 0

    init() {
        let places = 1 << CodeHistory.indexBits
        index = .allocate(capacity: places)
        fresh = .allocate(capacity: places)
        index.initialize(repeating: 0, count: places)
        fresh.initialize(repeating: 0, count: places)
        forget()
    }

    deinit {
        index.deallocate()
        fresh.deallocate()
    }

    // MARK: What the state has

    private mutating func forget() {
        index.update(repeating: 0, count: 1 << CodeHistory.indexBits)
        (count, knownCount, newestStart, knownNewestStart) = (0, 0, 0, 0)
        (syncedCodes, syncedBytes) = (0, 0)
        syncedHash = State.emptyCodeHash
        let dictionary = CodeDictionary.bytes
        append(dictionary, known: true)
        (newestStart, knownNewestStart) = (0, 0)
    }

    /// Takes in the codes of the state, forgets those of the payload before.
    mutating func begin(_ base: State) {
        if freshUsed {
            fresh.update(repeating: 0, count: 1 << CodeHistory.indexBits)
            freshUsed = false
        }
        (count, newestStart) = (knownCount, knownNewestStart)
        if base.codeCount < syncedCodes
            || (syncedCodes > 0 && base.codeHash(CodeID(UInt32(syncedCodes))) != syncedHash)
        {
            forget()
        }
        guard syncedCodes < base.codeCount else { return }
        // Codes that end before the last MiB but one of all code bytes are left out.
        var total = syncedBytes
        for id in (syncedCodes + 1)...base.codeCount { total += base.code(CodeID(UInt32(id))).count }
        let from = (total / CodeHistory.stepBytes - 1) * CodeHistory.stepBytes
        var next = syncedCodes + 1
        if syncedBytes / CodeHistory.stepBytes != total / CodeHistory.stepBytes {
            forget()
            next = 1
        }
        var end = syncedBytes
        for id in next...base.codeCount {
            let code = base.code(CodeID(UInt32(id)))
            end += code.count
            if end > from {
                newestStart = count
                append(code, known: true)
            }
        }
        syncedCodes = base.codeCount
        syncedBytes = total
        syncedHash = base.codeHash(CodeID(UInt32(syncedCodes)))
        knownNewestStart = newestStart
    }

    private mutating func append(_ bytes: [UInt8], known: Bool) {
        text.grow(to: count + bytes.count + 1, keeping: count)
        bytes.withUnsafeBufferPointer { source in
            if let from = source.baseAddress { (text.base + count).update(from: from, count: bytes.count) }
        }
        let start = count
        count += bytes.count
        knownCount = count
        var i = start + CodeHistory.keyBytes
        while i < count {
            index[home(i)] = UInt32(truncatingIfNeeded: i)
            i += 1
        }
    }

    // MARK: The payload's own codes

    /// Room for so many more bytes.
    mutating func reserve(_ bytes: Int) { text.grow(to: count + bytes + 1, keeping: count) }

    mutating func beginCode() { newestStart = count }

    /// Adds a byte of the code under way; there is room.
    @inline(__always)
    mutating func add(_ byte: UInt8) {
        text.base[count] = byte
        count &+= 1
    }

    /// Makes the place at the end known to later look-ups.
    @inline(__always)
    mutating func indexEnd() {
        guard count &- newestStart >= CodeHistory.keyBytes else { return }
        fresh[home(count)] = UInt32(truncatingIfNeeded: count)
        freshUsed = true
    }

    @inline(__always)
    private func home(_ place: Int) -> Int {
        let key = UnsafeRawPointer(text.base + (place - CodeHistory.keyBytes)).loadUnaligned(as: UInt32.self)
            .littleEndian
        return Int((key &* 0x9E37_79B1) >> UInt32(32 - CodeHistory.indexBits))
    }

    /// A place, not after the end, before which the same bytes stand as at the end, and how many (up to 40).
    @inline(__always)
    func match() -> (place: Int, length: Int)? {
        let inCode = count &- newestStart
        guard inCode >= CodeHistory.keyBytes else { return nil }
        let at = home(count)
        for place in [fresh[at], index[at]] where place != 0 {
            let place = Int(place)
            var length = 0
            let most = min(40, min(place, inCode))
            while length < most, text.base[place &- 1 &- length] == text.base[count &- 1 &- length] {
                length &+= 1
            }
            if length >= CodeHistory.keyBytes { return (place, length) }
        }
        return nil
    }
}

/// What EVM code often holds: the minimal proxy of EIP-1167 (its target zero), how compiled contracts begin, the topics of
/// Transfer, Approval and OwnershipTransferred, what a revert with a reason and a panic begin with, and compilers' metadata.
enum CodeDictionary {
    static var bytes: [UInt8] {
        let parts = [
            "363d3d373d3d3d363d73", "0000000000000000000000000000000000000000",
            "5af43d82803e903d91602b57fd5bf3",
            "7fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
            "7f8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925",
            "7f8be0079c531659141344cd1fd0a4f28419497f9722a3daafe3b4186f6b6457e0",
            "7f4e487b7100000000000000000000000000000000000000000000000000000000600052601160045260246000fd5b",
            "60405162461bcd60e51b8152600401",
            "7f08c379a000000000000000000000000000000000000000000000000000000000815260040160",
            "a2646970667358221220", "64736f6c63430008", "0033",
            "608060405234801561001057600080fd5b50600436106100", "5760003560e01c8063",
        ]
        var all: [UInt8] = []
        for part in parts { all.append(contentsOf: Hex.decode(part) ?? []) }
        return all
    }
}
