internal import MillraceBase

/// Why a text is not a link: one sentence.
public struct LinkTextError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(description: String) { self.description = description }
}

/// The bytes of the file with this path, or a sentence that names it.
public typealias LinkFileReader = (_ path: String) throws(LinkTextError) -> [UInt8]

/// The door for those who have files: a link's text may then name a trace (`trace:FILE.mm,rtt=60,loss=1%`).
public enum LinkText {
    /// Reads `text`; a profile gives its settings for `direction`, a trace's file is asked of `files`.
    public static func parse(
        _ text: String, direction: LinkDirection = .down, files: LinkFileReader? = nil
    ) throws(LinkTextError) -> LinkParameters {
        try LinkParameters(text: text, direction: direction, files: files)
    }
}

/// Links as people write them: `rate=25,rtt=100,loss=1%,burst=3,queue=100ms,jitter=2`, a profile's name, or a name with
/// some settings changed (`dsl-25,loss=2%`). The keys are those of Spec 80.2.
///
/// Numbers are decimal and read exactly; whatever is out of range, repeated or unknown is refused.
extension LinkParameters {
    /// The keys the text form knows, in the order in which it is printed.
    public static let keys = [
        "rate", "trace", "scale", "policer", "policerburst", "bucket", "queue", "aqm", "ecn", "outage",
        "delay", "rtt", "jitter", "loss", "burst", "good", "bad", "goodms", "badms", "lossgood", "lossbad",
        "reorder", "reorderby", "duplicate", "corrupt", "mtu", "overhead",
    ]

    /// Those of them that describe the states of losses; they are read together.
    private static let stateKeys: Set<String> = ["good", "bad", "goodms", "badms", "lossgood", "lossbad"]

    /// Reads `text`; a profile gives its settings for `direction`.
    public init(text: String, direction: LinkDirection = .down) throws(LinkTextError) {
        try self.init(text: text, direction: direction, files: nil)
    }

    init(text: String, direction: LinkDirection, files: LinkFileReader?) throws(LinkTextError) {
        self.init()
        guard text.utf8.count <= 65_536 else {
            throw LinkTextError(description: "a link's text is longer than 65,536 bytes")
        }
        var seen: Set<String> = []
        var scale: UInt64?
        var states: [String: UInt64] = [:]
        for (position, part) in text.split(separator: ",", omittingEmptySubsequences: false).enumerated() {
            var item = LinkParameters.trimmed(part)
            // `trace:FILE` is another way to write `trace=FILE`.
            if item.lowercased().hasPrefix("trace:") { item = "trace=" + item.dropFirst(6) }
            // So is the path of one, first of all.
            if position == 0, !item.contains("="), TraceFile.Format(path: item) != nil {
                item = "trace=" + item
            }
            guard let equals = item.firstIndex(of: "=") else {
                let name = item.lowercased()
                guard position == 0 else {
                    throw LinkTextError(
                        description: "link \"\(text)\": \"\(item)\" has no value; settings are key=value")
                }
                guard let profile = LinkProfile.named(name) else {
                    let names = LinkProfile.all.map(\.name) + [LinkProfile.none.name]
                    throw LinkTextError(
                        description: "link \"\(text)\": there is no profile \"\(item)\""
                            + Suggestion.hint(for: name, among: names + LinkParameters.keys)
                            + (name.contains("/") || name.contains(".")
                                ? "; a recorded rate is a file ending in .mm, .down, .up (Mahimahi) or .rate (t_ms kbit_per_s)"
                                : "")
                            + (Suggestion.nearest(to: name, among: names) == nil
                                ? "; profiles are " + names.joined(separator: ", ") : ""))
                }
                self = profile.parameters(direction)
                continue
            }
            let key = LinkParameters.trimmed(item[..<equals]).lowercased()
            let value = LinkParameters.trimmed(item[item.index(after: equals)...])
            guard LinkParameters.keys.contains(key) else {
                throw LinkTextError(
                    description: "link \"\(text)\": unknown key \"\(key)\""
                        + Suggestion.hint(for: key, among: LinkParameters.keys))
            }
            // `delay` and `rtt` set the same thing.
            guard seen.insert(key == "rtt" ? "delay" : key).inserted else {
                throw LinkTextError(description: "link \"\(text)\": \"\(key)\" is set twice")
            }
            if key == "trace", !value.contains("@") || TraceFile.Format(path: value) != nil {
                trace = try LinkParameters.trace(file: value, link: text, files)
                continue
            }
            if LinkParameters.stateKeys.contains(key), let number = LinkParameters.stateNumber(key, value) {
                states[key] = number
                continue
            }
            if key == "scale" {
                scale = Decimal.read(value, decimals: 6).flatMap {
                    (1...1_000_000_000).contains($0) ? $0 : nil
                }
                if scale != nil { continue }
            }
            guard set(key, value) else {
                throw LinkTextError(
                    description: "link \"\(text)\": \(key)=\(value) is not \(LinkParameters.expectation(key))"
                )
            }
        }
        if states.isEmpty {
            if seen.contains("loss") { lossStates = nil }
        } else {
            guard setStates(states, besideLoss: seen.contains("loss") || seen.contains("burst")) else {
                throw LinkTextError(
                    description:
                        "link \"\(text)\": states of losses are good and bad (datagrams) or goodms and badms, "
                        + "both, without loss and burst")
            }
        }
        if policer?.bitsPerSecond == 0 {
            throw LinkTextError(description: "link \"\(text)\": policerburst needs policer")
        }
        guard let scale else { return }
        guard scaleRate(millionths: scale) else {
            throw LinkTextError(
                description:
                    "link \"\(text)\": scale needs a rate or a trace, and leaves it above 0 and at most "
                    + "1,000,000 Mbit/s")
        }
    }

    /// The trace in a file.
    private static func trace(
        file: String, link: String, _ files: LinkFileReader?
    ) throws(LinkTextError) -> RateTrace {
        guard let format = TraceFile.Format(path: file) else {
            throw LinkTextError(
                description:
                    "link \"\(link)\": trace=\(file) is neither \(expectation("trace")), "
                    + "nor a file ending in .mm, .down, .up (Mahimahi) or .rate (t_ms kbit_per_s)"
            )
        }
        guard let files else {
            throw LinkTextError(description: "link \"\(link)\": a trace's file cannot be read here")
        }
        let bytes = try files(file)
        do {
            return try TraceFile.parse(bytes, format: format, name: file)
        } catch { throw LinkTextError(description: error.description) }
    }

    /// A setting of the states: thousandths of a datagram, nanoseconds, or a share.
    private static func stateNumber(_ key: String, _ value: String) -> UInt64? {
        switch key {
        case "good", "bad":
            return Decimal.read(value, decimals: 3).flatMap {
                (1_000...LossStates.datagramsThousandthsMax).contains($0) ? $0 : nil
            }
        case "goodms", "badms":
            return time(value, max: LossStates.timeMax).flatMap {
                $0 >= .microseconds(1) ? UInt64($0.nanoseconds) : nil
            }
        default: return share(value)?.partsPerTrillion
        }
    }

    /// False when the settings are not those of one kind of states. A profile's states give what is not set.
    private mutating func setStates(_ given: [String: UInt64], besideLoss: Bool) -> Bool {
        let lasts = given["goodms"] != nil || given["badms"] != nil
        let counts = given["good"] != nil || given["bad"] != nil
        guard !besideLoss, !(lasts && counts) else { return false }
        var good = given["good"] ?? given["goodms"]
        var bad = given["bad"] ?? given["badms"]
        var isTime = lasts
        switch lossStates?.lengths {
        case .datagrams(let g, let b) where !lasts: (good, bad) = (good ?? g, bad ?? b)
        case .time(let g, let b) where !counts:
            isTime = true
            (good, bad) = (good ?? UInt64(g.nanoseconds), bad ?? UInt64(b.nanoseconds))
        default: break
        }
        guard let good, let bad else { return false }
        let lengths: LossStates.Lengths =
            isTime
            ? .time(good: .nanoseconds(Int64(clamping: good)), bad: .nanoseconds(Int64(clamping: bad)))
            : .datagrams(goodThousandths: good, badThousandths: bad)
        let lossGood = given["lossgood"].map { Probability(partsPerTrillion: $0) } ?? lossStates?.lossGood
        let lossBad = given["lossbad"].map { Probability(partsPerTrillion: $0) } ?? lossStates?.lossBad
        guard let made = LossStates(lengths, lossGood: lossGood ?? .zero, lossBad: lossBad ?? .one) else {
            return false
        }
        lossStates = made
        loss = .zero
        lossBurstThousandths = 1_000
        return true
    }

    /// False when there is nothing to multiply, or the product is out of range.
    private mutating func scaleRate(millionths: UInt64) -> Bool {
        if let trace {
            guard let scaled = trace.scaled(millionths: millionths) else { return false }
            self.trace = scaled
            return true
        }
        guard let rateBitsPerSecond else { return false }
        // ≤ 10^12 × 10^9: below 2^70.
        let rate = UInt128(rateBitsPerSecond) * UInt128(millionths) / 1_000_000
        guard rate > 0, rate <= UInt128(LinkLimits.bitsPerSecondMax) else { return false }
        self.rateBitsPerSecond = UInt64(rate)
        return true
    }

    /// The text form; reading it gives equal parameters.
    public var text: String {
        var parts: [String] = []
        func add(_ key: String, _ value: String, unless isDefault: Bool) {
            if !isDefault { parts.append("\(key)=\(value)") }
        }
        let plain = LinkParameters()
        if let trace {
            switch trace.form {
            case .even(let step):
                let steps = trace.steps.map { Decimal.text($0.bitsPerSecond, decimals: 6) }
                    .joined(separator: ":")
                parts.append("trace=\(steps)@\(Decimal.text(UInt64(step.nanoseconds), decimals: 6))")
            case .file(let name, let scale):
                parts.append("trace=\(name)")
                add("scale", Decimal.text(scale, decimals: 6), unless: scale == 1_000_000)
            }
        } else if let rateBitsPerSecond {
            parts.append("rate=\(Decimal.text(rateBitsPerSecond, decimals: 6))")
        }
        func milliseconds(_ interval: Interval) -> String {
            Decimal.text(UInt64(max(interval.nanoseconds, 0)), decimals: 6)
        }
        func share(_ p: Probability) -> String { Decimal.text(p.partsPerTrillion, decimals: 12) }
        if let policer {
            parts.append("policer=\(Decimal.text(policer.bitsPerSecond, decimals: 6))")
            add(
                "policerburst", String(policer.burstBytes),
                unless: policer.burstBytes == PolicerParameters.burstBytesDefault)
        }
        add("bucket", String(bucketBytes), unless: bucketBytes == 0)
        switch queue {
        case .bytes(let bytes): parts.append("queue=\(bytes)")
        case .time(let time): add("queue", milliseconds(time) + "ms", unless: queue == plain.queue)
        }
        switch management {
        case .dropTail: break
        case .coDel: parts.append("aqm=codel")
        case .fairCoDel: parts.append("aqm=fq-codel")
        }
        add("ecn", "on", unless: !marksECN)
        if let outage {
            let every = outage.every.map { "/" + milliseconds($0) } ?? ""
            parts.append("outage=\(milliseconds(outage.start))+\(milliseconds(outage.length))\(every)")
        }
        add("delay", milliseconds(delay), unless: delay == .zero)
        add("jitter", milliseconds(jitter), unless: jitter == .zero)
        add("loss", share(loss), unless: loss == .zero)
        add("burst", Decimal.text(lossBurstThousandths, decimals: 3), unless: lossBurstThousandths == 1_000)
        if let lossStates {
            switch lossStates.lengths {
            case .datagrams(let good, let bad):
                parts.append("good=\(Decimal.text(good, decimals: 3)),bad=\(Decimal.text(bad, decimals: 3))")
            case .time(let good, let bad):
                parts.append("goodms=\(milliseconds(good)),badms=\(milliseconds(bad))")
            }
            add("lossgood", share(lossStates.lossGood), unless: lossStates.lossGood == .zero)
            add("lossbad", share(lossStates.lossBad), unless: lossStates.lossBad == .one)
        }
        add("reorder", share(reorder), unless: reorder == .zero)
        add("reorderby", milliseconds(reorderBy), unless: reorderBy == plain.reorderBy)
        add("duplicate", share(duplicate), unless: duplicate == .zero)
        add("corrupt", share(corrupt), unless: corrupt == .zero)
        add("mtu", String(mtuBytes), unless: mtuBytes == plain.mtuBytes)
        add("overhead", String(overheadBytes), unless: overheadBytes == plain.overheadBytes)
        return parts.isEmpty ? "none" : parts.joined(separator: ",")
    }

    private static func trimmed(_ text: Substring) -> String {
        var text = text
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }

    private static func expectation(_ key: String) -> String {
        switch key {
        case "rate": "a rate in Mbit/s (or with a unit: 500k, 2.5M, 1G), at most 1,000,000 Mbit/s"
        case "trace": "rates in Mbit/s and the length of a step in ms: 25:12:0:30@1000"
        case "scale": "a factor from 0.000001 to 1,000"
        case "bucket": "a number of bytes, at most 1,073,741,824"
        case "policer": "a rate in Mbit/s, or \"none\""
        case "policerburst": "a number of bytes from 1 to 1,073,741,824"
        case "ecn": "\"on\" or \"off\""
        case "outage":
            "START+LENGTH or START+LENGTH/EVERY in ms or s (5s+300ms/20s), with LENGTH at most an hour and below EVERY"
        case "good", "bad": "a mean number of datagrams from 1 to 1,000,000"
        case "goodms", "badms": "a mean time in ms, at most 3,600,000"
        case "lossgood", "lossbad": "a share between 0 and 1 (0.01, or 1%)"
        case "queue": "a time in ms (100ms) or a number of bytes (65536, 64KB)"
        case "aqm": "\"codel\", \"fq-codel\" or \"none\""
        case "delay", "rtt", "jitter", "reorderby": "a time in ms, at most 60,000"
        case "loss", "reorder", "duplicate", "corrupt": "a share between 0 and 1 (0.01, or 1%)"
        case "burst": "a mean number of datagrams lost in a row, from 1 to 1,000"
        case "mtu": "a packet's length from 68 to 65,535 bytes"
        default: "a number of bytes from 0 to 1,000"
        }
    }

    /// False when `value` is not one for `key`.
    private mutating func set(_ key: String, _ value: String) -> Bool {
        func share() -> Probability? { LinkParameters.share(value) }
        func time(_ text: String, divisor: UInt64 = 1) -> Interval? {
            LinkParameters.time(text, divisor: divisor)
        }
        func whole(_ range: ClosedRange<Int>) -> Int? {
            guard let n = Decimal.read(value, decimals: 0), let n = Int(exactly: n) else { return nil }
            return range.contains(n) ? n : nil
        }
        switch key {
        case "rate":
            if value == "none" {
                rateBitsPerSecond = nil
            } else {
                guard let rate = LinkParameters.rate(value), rate > 0 else { return false }
                rateBitsPerSecond = rate
            }
            trace = nil
        case "trace":
            let parts = value.split(separator: "@", omittingEmptySubsequences: false)
            guard parts.count == 2, let step = time(String(parts[1])) else { return false }
            var rates: [UInt64] = []
            for part in parts[0].split(separator: ":", omittingEmptySubsequences: false) {
                guard let rate = LinkParameters.rate(String(part)) else { return false }
                rates.append(rate)
            }
            guard let made = RateTrace(bitsPerSecond: rates, step: step) else { return false }
            trace = made
        case "policer":
            if value == "none" {
                policer = nil
            } else {
                guard let rate = LinkParameters.rate(value), rate > 0 else { return false }
                policer = PolicerParameters(
                    bitsPerSecond: rate,
                    burstBytes: policer?.burstBytes ?? PolicerParameters.burstBytesDefault)
            }
        case "policerburst":
            guard let n = whole(1...LinkLimits.queueBytesMax) else { return false }
            policer = PolicerParameters(bitsPerSecond: policer?.bitsPerSecond ?? 0, burstBytes: n)
        case "ecn":
            guard value == "on" || value == "off" else { return false }
            marksECN = value == "on"
        case "outage":
            if value == "none" {
                outage = nil
            } else {
                guard let read = LinkParameters.outage(value) else { return false }
                outage = read
            }
        case "bucket":
            guard let n = whole(0...LinkLimits.queueBytesMax) else { return false }
            bucketBytes = n
        case "queue":
            if value.hasSuffix("ms") {
                guard let t = time(value) else { return false }
                queue = .time(t)
            } else {
                let lower = value.lowercased()
                let unit: UInt64 = lower.hasSuffix("kb") ? 1_024 : lower.hasSuffix("mb") ? 1_048_576 : 1
                let digits = unit == 1 ? value : String(value.dropLast(2))
                guard let n = Decimal.read(digits, decimals: 0), n <= UInt64(LinkLimits.queueBytesMax),
                    n * unit <= UInt64(LinkLimits.queueBytesMax)
                else { return false }
                queue = .bytes(Int(n * unit))
            }
        case "aqm":
            switch value {
            case "codel": management = .coDel
            case "fq-codel", "fq_codel": management = .fairCoDel
            case "none": management = .dropTail
            default: return false
            }
        case "delay":
            guard let t = time(value) else { return false }
            delay = t
        case "rtt":
            guard let t = time(value, divisor: 2) else { return false }
            delay = t
        case "jitter":
            guard let t = time(value) else { return false }
            jitter = t
        case "reorderby":
            guard let t = time(value), t > .zero else { return false }
            reorderBy = t
        case "loss":
            guard let p = share() else { return false }
            loss = p
        case "reorder":
            guard let p = share() else { return false }
            reorder = p
        case "duplicate":
            guard let p = share() else { return false }
            duplicate = p
        case "corrupt":
            guard let p = share() else { return false }
            corrupt = p
        case "burst":
            guard let n = Decimal.read(value, decimals: 3),
                (1_000...LinkLimits.lossBurstThousandthsMax).contains(n)
            else {
                return false
            }
            lossBurstThousandths = n
        case "mtu":
            guard let n = whole(68...65_535) else { return false }
            mtuBytes = n
        case "overhead":
            guard let n = whole(0...1_000) else { return false }
            overheadBytes = n
        default: return false
        }
        return true
    }

    private static func share(_ value: String) -> Probability? {
        let isPercent = value.hasSuffix("%")
        let digits = isPercent ? String(value.dropLast()) : value
        guard let n = Decimal.read(digits, decimals: isPercent ? 10 : 12), n <= Probability.scale else {
            return nil
        }
        return Probability(partsPerTrillion: n)
    }

    private static func time(
        _ text: String, divisor: UInt64 = 1, max most: Interval = LinkLimits.delayMax
    ) -> Interval? {
        let digits = text.hasSuffix("ms") ? String(text.dropLast(2)) : text
        guard let n = Decimal.read(digits, decimals: 6) else { return nil }
        let interval = Interval.nanoseconds(Int64(clamping: n / divisor))
        return interval <= most ? interval : nil
    }

    /// `START+LENGTH/EVERY`, each in ms or s.
    private static func outage(_ text: String) -> Outage? {
        func moment(_ text: Substring) -> Interval? {
            guard text.hasSuffix("s"), !text.hasSuffix("ms") else {
                return time(String(text), max: Outage.startMax)
            }
            return Decimal.read(String(text.dropLast()), decimals: 9).map {
                .nanoseconds(Int64(clamping: $0))
            }
        }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        let spans = parts[0].split(separator: "+", omittingEmptySubsequences: false)
        guard parts.count <= 2, spans.count == 2, let start = moment(spans[0]), let length = moment(spans[1])
        else { return nil }
        guard parts.count == 2 else { return Outage(start: start, length: length) }
        guard let every = moment(parts[1]) else { return nil }
        return Outage(start: start, length: length, every: every)
    }

    /// Mbit/s, or with a unit: bits per second.
    private static func rate(_ text: String) -> UInt64? {
        let decimals: Int
        switch text.last {
        case "k", "K": decimals = 3
        case "G", "g": decimals = 9
        default: decimals = 6
        }
        let hasUnit = text.last.map { "kKmMgG".contains($0) } ?? false
        guard let rate = Decimal.read(hasUnit ? String(text.dropLast()) : text, decimals: decimals) else {
            return nil
        }
        return rate <= LinkLimits.bitsPerSecondMax ? rate : nil
    }
}

/// Decimal text and integers that count its last digit; no floating point between them.
enum Decimal {
    /// `text` times 10^decimals: digits, at most one point, no more than `decimals` digits behind it.
    static func read(_ text: String, decimals: Int) -> UInt64? {
        var value: UInt64 = 0
        var digits = 0
        var behind: Int?
        guard text.utf8.count <= 40 else { return nil }
        for character in text.utf8 {
            if character == UInt8(ascii: ".") {
                guard behind == nil, digits > 0 else { return nil }
                behind = 0
                continue
            }
            guard (48...57).contains(character) else { return nil }
            digits += 1
            if let count = behind {
                guard count < decimals else { return nil }
                behind = count + 1
            }
            guard append(character - 48, to: &value) else { return nil }
        }
        guard digits > 0, behind != 0 else { return nil }
        for _ in (behind ?? 0)..<max(decimals, behind ?? 0) {
            guard append(0, to: &value) else { return nil }
        }
        return value
    }

    private static func append(_ digit: UInt8, to value: inout UInt64) -> Bool {
        let (ten, over) = value.multipliedReportingOverflow(by: 10)
        let (sum, overSum) = ten.addingReportingOverflow(UInt64(digit))
        value = sum
        return !over && !overSum
    }

    /// `value` divided by 10^decimals, without trailing zeros.
    static func text(_ value: UInt64, decimals: Int) -> String {
        var unit: UInt64 = 1
        for _ in 0..<decimals { unit *= 10 }
        let whole = String(value / unit)
        let fraction = value % unit
        guard fraction > 0 else { return whole }
        let digits = String(fraction)
        var tail = String(repeating: "0", count: decimals - digits.count) + digits
        while tail.last == "0" { tail.removeLast() }
        return whole + "." + tail
    }
}
