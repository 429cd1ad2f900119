/// What a parent that cheats does to its children: for tests and simulations, where a real relay is made to break its word. A
/// node on sockets has none and cannot be given one.
///
/// It asks for the place of a shred only, so equal runs cheat equally.

import MillraceWire

package struct Misconduct: BitwiseCopyable, Hashable, Sendable {
    /// Of a thousand shreds that contracts owe, so many are left out.
    package var withheldPerMille = 0
    package var withholdsHeaders = false
    /// Requests for repair and catch-up get no answer at all.
    package var ignoresRequests = false
    /// Of so many heights one is given to nobody, in no form; 0 for none.
    package var censorsOneOf: UInt64 = 0
    /// Symbols are made up.
    package var forges = false
    /// How often each shred is sent.
    package var copies = 1

    package init() {}

    /// Gives nothing of the stream, and says that it is well.
    package static let mute: Misconduct = {
        var mute = Misconduct()
        mute.withheldPerMille = 1_000
        mute.withholdsHeaders = true
        mute.ignoresRequests = true
        return mute
    }()

    private func isCensored(_ height: UInt64) -> Bool { censorsOneOf > 0 && height % censorsOneOf == 0 }

    /// What is given of the shreds that are owed: a hash of a shred's place picks those left out.
    func given(_ shreds: StripeSet, of key: SliceKey) -> StripeSet {
        if isCensored(key.firstHeight) { return .empty }
        if withheldPerMille == 0 { return shreds }
        var given = shreds
        for index in 0..<StripeSet.stripesMax where shreds.contains(index) {
            let place = key.firstHeight &* 64 &+ UInt64(index)
            var mixed = (place ^ place >> 29) &* 0x9E37_79B9_7F4A_7C15
            mixed ^= mixed >> 32
            if mixed % 1_000 < UInt64(max(withheldPerMille, 0)) { given.remove(index) }
        }
        return given
    }

    func givesHeader(of key: SliceKey) -> Bool { !withholdsHeaders && !isCensored(key.firstHeight) }

    func answers(_ height: UInt64) -> Bool { !ignoresRequests && !isCensored(height) }

    /// What stands for a forged symbol.
    static let forgedSymbol = [UInt8](repeating: 0x5A, count: WireLimits.symbolBytesMax)
}
