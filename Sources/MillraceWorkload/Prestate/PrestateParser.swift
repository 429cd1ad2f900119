/// One JSON value of a `prestateTracer` input to transactions: a result `{"pre":…,"post":…}`, a line or JSON-RPC answer
/// around one, a JSON-RPC answer around a whole block's results, or an array of any of these. Spec 70.8.
///
/// Strict where a mistake would change the state: types, ranges, duplicate accounts and slots (also when written in
/// another case), unknown fields of an account. Fields around the results that are not known are passed over. Total: any
/// bytes give transactions or one `JSONError` that names the field and its place.

import MillraceBase
import MillraceDiff

public enum PrestateParser {
    /// Parses one value. `document` numbers the input's values, so that arrays make blocks of their own.
    public static func parse(
        _ bytes: RawSpan, firstLine: Int = 1, document: Int = 0,
        into transactions: inout [PrestateTransaction]
    ) throws(JSONError) {
        var reader = JSONReader(bytes, firstLine: firstLine)
        var walk = PrestateWalk(document: document)
        switch try reader.kind() {
        case .object: try walk.entry(&reader, .loose, depth: 0, into: &transactions)
        case .array: try walk.array(&reader, .document(document), depth: 0, into: &transactions)
        case let other:
            throw reader.error(
                at: reader.offset,
                "expected an object or an array of prestateTracer results, found \(other.name)")
        }
        try reader.end()
    }
}

/// The walk through one value. Its own type because it carries where it is.
private struct PrestateWalk {
    /// Arrays in arrays and answers in answers: one more than anyone has seen.
    static let depthMax = 4

    var document: Int

    // MARK: Around the results

    @_lifetime(reader: copy reader)
    mutating func array(
        _ reader: inout JSONReader, _ group: PrestateGroup, depth: Int,
        into transactions: inout [PrestateTransaction]
    ) throws(JSONError) {
        guard depth < PrestateWalk.depthMax else {
            throw reader.error(
                at: reader.offset, "arrays of results nested deeper than \(PrestateWalk.depthMax) levels")
        }
        try reader.beginArray()
        while try reader.nextElement() {
            let kind = try reader.kind()
            guard kind == .object else {
                throw reader.error(
                    at: reader.offset, "expected an object with pre and post or result, found \(kind.name)")
            }
            try entry(&reader, group, depth: depth + 1, into: &transactions)
        }
    }

    /// An object: a result itself, or something around one or many.
    @_lifetime(reader: copy reader)
    mutating func entry(
        _ reader: inout JSONReader, _ outer: PrestateGroup, depth: Int,
        into transactions: inout [PrestateTransaction]
    ) throws(JSONError) {
        guard depth <= PrestateWalk.depthMax else {
            throw reader.error(
                at: reader.offset, "results nested deeper than \(PrestateWalk.depthMax) levels")
        }
        let start = reader.error(at: reader.offset, "")
        let first = transactions.count
        var (block, index): (UInt64?, UInt64?)
        var hash: Hash32?
        var (pre, post): ([Side]?, [Side]?)
        var hasResult = false
        try reader.beginObject()
        while try reader.nextKey() {
            if reader.keyIs("pre") {
                pre = try sides(&reader, isPre: true)
            } else if reader.keyIs("post") {
                post = try sides(&reader, isPre: false)
            } else if reader.keyIs("result") {
                hasResult = true
                switch try reader.kind() {
                case .object: try entry(&reader, outer, depth: depth + 1, into: &transactions)
                case .array: try array(&reader, .document(document), depth: depth + 1, into: &transactions)
                case let other:
                    throw reader.error(
                        at: reader.offset, "result: expected an object or an array, found \(other.name)")
                }
            } else if reader.keyIs("block") || reader.keyIs("blockNumber") {
                block = try number(&reader)
            } else if reader.keyIs("txIndex") {
                index = try number(&reader)
            } else if reader.keyIs("txHash") {
                hash = Hash32(word: try word(&reader, digits: 64...64))
            } else if reader.keyIs("error") {
                let at = reader.offset
                if try reader.kind() == .null {
                    try reader.null()
                } else {
                    try reader.skipValue()
                    throw reader.error(at: at, "the node answered with an error instead of a result")
                }
            } else {
                try reader.skipValue()
            }
        }
        func wrong(_ message: String) -> JSONError {
            JSONError(line: start.line, column: start.column, message: message)
        }
        switch (pre, post, hasResult) {
        case (let pre?, let post?, false):
            let accounts = try merge(pre, post, wrong)
            transactions.append(
                PrestateTransaction(
                    group: outer, index: index, hash: hash, accounts: accounts, line: start.line))
        case (nil, nil, true): break
        case (nil, nil, false): throw wrong("expected pre and post, or result, found neither")
        case (_, _, true): throw wrong("pre or post beside result: expected one or the other")
        case (nil, _, false): throw wrong("post without pre")
        case (_, nil, false): throw wrong("pre without post")
        }
        for i in first..<transactions.count {
            // The innermost number counts: what is around fills in what is missing.
            if let block {
                if case .block = transactions[i].group {} else { transactions[i].group = .block(block) }
            }
            if transactions[i].index == nil { transactions[i].index = index }
            if transactions[i].hash == nil { transactions[i].hash = hash }
        }
    }

    // MARK: Accounts

    /// An account on one side.
    struct Side {
        var address: Address
        var balance: U256?
        var nonce: UInt64?
        var code: [UInt8]?
        var storage: [(slot: U256, value: U256)] = []
    }

    /// `pre` or `post`: accounts, ascending.
    @_lifetime(reader: copy reader)
    func sides(_ reader: inout JSONReader, isPre: Bool) throws(JSONError) -> [Side] {
        var sides: [Side] = []
        var isSorted = true
        let name = isPre ? "pre" : "post"
        let kind = try reader.kind()
        guard kind == .object else {
            throw reader.error(
                at: reader.offset, "\(name): expected an object of accounts, found \(kind.name)")
        }
        try reader.beginObject()
        while try reader.nextKey() {
            let bytes = reader.withKeyBytes { HexText.bytes($0, digits: 40) }
            guard let bytes, let address = Address(bytes) else {
                throw reader.error(
                    at: reader.keyOffset,
                    "\(name): expected an address of 0x and 40 hexadecimal digits, found \"\(reader.keyText)\""
                )
            }
            let at = reader.keyOffset
            var side = Side(address: address)
            try account(&reader, &side, path: (name, address))
            if isPre, side.balance == nil {
                throw reader.error(
                    at: at, "pre.\(address).balance is missing: the value before is needed whole")
            }
            if let last = sides.last, last.address >= address { isSorted = false }
            sides.append(side)
        }
        if !isSorted {
            sides.sort { $0.address < $1.address }
            for i in 1..<sides.count where sides[i - 1].address == sides[i].address {
                throw reader.error(
                    at: reader.offset - 1, "\(name): the account \(sides[i].address) is there twice")
            }
        }
        return sides
    }

    @_lifetime(reader: copy reader)
    func account(
        _ reader: inout JSONReader, _ side: inout Side, path: (side: String, address: Address)
    ) throws(JSONError) {
        let kind = try reader.kind()
        guard kind == .object else {
            throw reader.error(
                at: reader.offset, "\(path.side).\(path.address): expected an object, found \(kind.name)")
        }
        try reader.beginObject()
        while try reader.nextKey() {
            do throws(JSONError) {
                if reader.keyIs("balance") {
                    side.balance = try word(&reader, digits: 1...64)
                } else if reader.keyIs("nonce") {
                    side.nonce = try number(&reader)
                } else if reader.keyIs("code") {
                    side.code = try code(&reader)
                } else if reader.keyIs("codeHash") {
                    // Newer nodes give it beside or instead of the code. Checked, and not needed.
                    _ = try word(&reader, digits: 64...64)
                } else if reader.keyIs("storage") {
                    side.storage = try storage(&reader)
                } else {
                    throw reader.error(
                        at: reader.keyOffset,
                        "not a field of an account (balance, nonce, code, codeHash, storage)")
                }
            } catch {
                // The reader's key is still the field at hand, or the slot inside of it.
                let key = reader.keyText
                let field = "\(path.side).\(path.address).\(key.hasPrefix("0x") ? "storage." : "")\(key)"
                throw JSONError(line: error.line, column: error.column, message: "\(field): \(error.message)")
            }
        }
    }

    @_lifetime(reader: copy reader)
    func storage(_ reader: inout JSONReader) throws(JSONError) -> [(slot: U256, value: U256)] {
        var storage: [(slot: U256, value: U256)] = []
        var isSorted = true
        let kind = try reader.kind()
        guard kind == .object else {
            throw reader.error(at: reader.offset, "expected an object of slots, found \(kind.name)")
        }
        try reader.beginObject()
        while try reader.nextKey() {
            let slot = reader.withKeyBytes { HexText.word($0, digits: 1...64) }
            guard let slot else {
                throw reader.error(
                    at: reader.keyOffset, "expected a slot of 0x and up to 64 hexadecimal digits")
            }
            let value = try word(&reader, digits: 1...64)
            if let last = storage.last, last.slot >= slot { isSorted = false }
            storage.append((slot, value))
        }
        if !isSorted {
            storage.sort { $0.slot < $1.slot }
            for i in 1..<storage.count where storage[i - 1].slot == storage[i].slot {
                throw reader.error(
                    at: reader.offset - 1, "the slot \(storage[i].slot.hexWord) is there twice")
            }
        }
        return storage
    }

    /// Both sides, ascending, to what happened to each account.
    func merge(_ pre: [Side], _ post: [Side], _ wrong: (String) -> JSONError) throws(JSONError)
        -> [PrestateAccount]
    {
        var accounts: [PrestateAccount] = []
        accounts.reserveCapacity(max(pre.count, post.count))
        var (i, j) = (0, 0)
        while i < pre.count || j < post.count {
            let before =
                i < pre.count && (j == post.count || pre[i].address <= post[j].address) ? pre[i] : nil
            let after =
                j < post.count && (i == pre.count || post[j].address <= pre[i].address) ? post[j] : nil
            if before != nil { i += 1 }
            if after != nil { j += 1 }
            guard let address = before?.address ?? after?.address else { break }
            accounts.append(
                PrestateAccount(
                    address: address,
                    before: before.map {
                        PrestateAccount.Before(
                            balance: $0.balance ?? .zero, nonce: $0.nonce ?? 0, code: $0.code)
                    },
                    after: after.map {
                        PrestateAccount.After(balance: $0.balance, nonce: $0.nonce, code: $0.code)
                    },
                    slots: merge(before?.storage ?? [], after?.storage ?? [])))
        }
        return accounts
    }

    /// A slot on one side only is zero on the other.
    func merge(
        _ pre: [(slot: U256, value: U256)], _ post: [(slot: U256, value: U256)]
    ) -> [PrestateAccount.Slot] {
        var slots: [PrestateAccount.Slot] = []
        slots.reserveCapacity(max(pre.count, post.count))
        var (i, j) = (0, 0)
        while i < pre.count || j < post.count {
            if j == post.count || i < pre.count && pre[i].slot < post[j].slot {
                slots.append(PrestateAccount.Slot(slot: pre[i].slot, old: pre[i].value, new: .zero))
                i += 1
            } else if i == pre.count || post[j].slot < pre[i].slot {
                slots.append(PrestateAccount.Slot(slot: post[j].slot, old: .zero, new: post[j].value))
                j += 1
            } else {
                slots.append(PrestateAccount.Slot(slot: pre[i].slot, old: pre[i].value, new: post[j].value))
                i += 1
                j += 1
            }
        }
        return slots
    }

    // MARK: Values

    /// A hexadecimal string below 2^256.
    @_lifetime(reader: copy reader)
    func word(_ reader: inout JSONReader, digits: ClosedRange<Int>) throws(JSONError) -> U256 {
        let expected =
            digits.lowerBound == digits.upperBound
            ? "expected a string of 0x and \(digits.lowerBound) hexadecimal digits"
            : "expected a string of 0x and \(digits.lowerBound) to \(digits.upperBound) hexadecimal digits"
        let kind = try reader.kind()
        let at = reader.offset
        guard kind == .string else { throw reader.error(at: at, "\(expected), found \(kind.name)") }
        let token = try reader.string()
        guard token.isPlain, let word = reader.withBytes(of: token, { HexText.word($0, digits: digits) })
        else {
            throw reader.error(at: at, "\(expected), found \"\(Excerpt.of(reader.text(token)))\"")
        }
        return word
    }

    /// A number below 2^64: a JSON integer, or a hexadecimal string as JSON-RPC has them.
    @_lifetime(reader: copy reader)
    func number(_ reader: inout JSONReader) throws(JSONError) -> UInt64 {
        let kind = try reader.kind()
        let at = reader.offset
        if kind == .string {
            guard let value = try word(&reader, digits: 1...64).asUInt64 else {
                throw reader.error(at: at, "expected a number below 2^64")
            }
            return value
        }
        guard kind == .number else {
            throw reader.error(at: at, "expected a whole number, found \(kind.name)")
        }
        let token = try reader.number()
        let text = reader.text(token)
        if text.utf8.first == UInt8(ascii: "-") {
            throw reader.error(at: at, "expected a number from 0, found \(Excerpt.of(text))")
        }
        guard token.isPlain, let value = UInt64(text) else {
            throw reader.error(at: at, "expected a whole number below 2^64, found \(Excerpt.of(text))")
        }
        return value
    }

    @_lifetime(reader: copy reader)
    func code(_ reader: inout JSONReader) throws(JSONError) -> [UInt8] {
        let kind = try reader.kind()
        let at = reader.offset
        guard kind == .string else {
            throw reader.error(at: at, "expected a string of 0x and hexadecimal digits, found \(kind.name)")
        }
        let token = try reader.string()
        guard token.end - token.start <= 2 + 2 * StateLimits.codeBytesMax else {
            throw reader.error(at: at, "more than \(StateLimits.codeBytesMax) bytes of code")
        }
        guard token.isPlain, let code = reader.withBytes(of: token, { HexText.bytes($0, digits: nil) }) else {
            throw reader.error(at: at, "expected 0x and an even number of hexadecimal digits")
        }
        return code
    }
}

/// `0x` and digits, from bytes, without a String in between.
private enum HexText {
    static func word(_ text: UnsafeBufferPointer<UInt8>, digits: ClosedRange<Int>) -> U256? {
        guard text.count >= 2, text[0] == UInt8(ascii: "0"), text[1] == UInt8(ascii: "x"),
            digits.contains(text.count - 2),
            text.count <= 66
        else { return nil }
        var limbs: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        for i in 2..<text.count {
            guard let digit = Hex.value(of: text[i]) else { return nil }
            let place = text.count - 1 - i
            let bits = UInt64(digit) << UInt64((place & 15) * 4)
            switch place >> 4 {
            case 0: limbs.0 |= bits
            case 1: limbs.1 |= bits
            case 2: limbs.2 |= bits
            default: limbs.3 |= bits
            }
        }
        return U256(limbs.0, limbs.1, limbs.2, limbs.3)
    }

    static func bytes(_ text: UnsafeBufferPointer<UInt8>, digits: Int?) -> [UInt8]? {
        guard text.count >= 2, text[0] == UInt8(ascii: "0"), text[1] == UInt8(ascii: "x"),
            text.count % 2 == 0,
            digits == nil || text.count - 2 == digits
        else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity((text.count - 2) / 2)
        for i in stride(from: 2, to: text.count, by: 2) {
            guard let high = Hex.value(of: text[i]), let low = Hex.value(of: text[i + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }
}

/// The beginning of a text that a message quotes.
private enum Excerpt {
    static func of(_ text: String) -> String {
        text.unicodeScalars.count <= 40
            ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(40))) + "…"
    }
}
