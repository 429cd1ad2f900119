/// Contracts within what this node's line up carries (`Uplink`, Spec 60.4, rule 10): who is refused, and whose contract ends when
/// the line is short after all.
///
///     SUBSCRIBE ──needs more than is left──▶ REFUSE (uplink), with alternatives
///     more owed than the line carries, and the stream waits; or a second of more than promised
///               ──▶ the contracts given last end, until the others fit: REFUSE with their serials
///
/// Who came first keeps what it has, known children longest: so a line that is short serves as many as it can whole, and the
/// others know at once.

import MillraceBase
import MillraceWire

extension Serving {
    /// A child that is refused for want of room looks elsewhere first.
    static let roomRetryMilliseconds: UInt32 = 5_000

    /// What contracts need of the line up, one child's aside.
    func bytesOwed(except peer: Peer? = nil) -> Int64 {
        var owed: Int64 = 0
        for other in children where other !== peer {
            if let terms = other.child?.roomFor(now: endpoint.now) { owed += uplink.need(terms) }
        }
        return owed
    }

    /// Whether the line carries this contract beside the others. One that asks for no more than it has is never refused.
    func hasRoom(for terms: ContractTerms, of peer: Peer) -> Bool {
        guard uplink.isKnown, !terms.stripes.isEmpty || !terms.headers.isEmpty else { return true }
        // Who was refused need not try with less what it cannot have.
        let need = max(uplink.need(terms), peer.child?.refusedNeed ?? 0)
        if let held = peer.child?.roomFor(now: endpoint.now), need <= uplink.need(held) { return true }
        return need == 0 || bytesOwed(except: peer) + need <= uplink.promised
    }

    /// Children that the line has room for, each taken to need what those here need on average, or the whole stream.
    var childrenWithRoom: Int {
        guard uplink.isKnown else { return .max }
        let owed = bytesOwed()
        let count = children.count { $0.child.map { !$0.terms.stripes.isEmpty } ?? false }
        let each = count > 0 && owed > 0 ? owed / Int64(count) : uplink.need(Serving.wholeStream)
        return each > 0 ? Int(clamping: max(uplink.promised - owed, 0) / each) : .max
    }

    private static let wholeStream = ContractTerms(
        serial: 0, stripes: .allData, headers: HeaderTerms(atOnce: true, sumEvery: 0), leaseMilliseconds: 0)

    /// Looks at what is owed when a window is over, and ends contracts if that is too much.
    func reviewUplink() {
        guard uplink.isKnown, uplink.closeWindow(now: endpoint.now) else { return }
        var owed = bytesOwed()
        guard uplink.isShort(of: owed, waits: isWaiting) else { return }
        while owed > uplink.promised, let peer = lastToEnd, let child = peer.child {
            endpoint.statistics.contractsEnded &+= 1
            child.refusedNeed = uplink.need(child.terms)
            refuse(child.terms, .uplink, peer)
            child.end(serial: child.terms.serial)
            renew(peer)
            owed = bytesOwed()
        }
    }

    /// A quarter of what the stream may wait before heights are refused (`Child.waitMax`).
    static let waitLong = Interval.milliseconds(100)

    private var isWaiting: Bool {
        children.contains { peer in
            peer.child?.live.first.map { endpoint.now - $0.queuedAt > Serving.waitLong } ?? false
        }
    }

    /// Of several that are served, the one that came last, a known one only if all are; nil where there is one at most: it gets
    /// what the line carries.
    private var lastToEnd: Peer? {
        var last: (peer: Peer, isKnown: Bool, since: Instant)?
        var served = 0
        for peer in children {
            guard let child = peer.child, child.isOwed(now: endpoint.now), !child.terms.stripes.isEmpty else {
                continue
            }
            served += 1
            let (isKnown, since) = (isKnown(peer), child.servedSince)
            if let held = last, isKnown != held.isKnown ? isKnown : since < held.since { continue }
            last = (peer, isKnown, since)
        }
        return served > 1 ? last?.peer : nil
    }
}
