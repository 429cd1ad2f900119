/// Where a running node answers `millrace status`: a unix socket (`status-socket`). Whoever connects is given one JSON object and
/// a line's end; nothing is read. Who may connect is decided by the file's place and mode.
///
/// Bounds: `repliesMax` answers under way; further connections are closed at once.

import Foundation
import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceLoop

final class StatusSocket {
    static let repliesMax = 16

    private let loop: EventLoop
    private var listener: UnixListener?
    private var replies: [UnixReply] = []
    private let object: () -> JSON

    init(on loop: EventLoop, path: String, _ object: @escaping () -> JSON) throws {
        self.loop = loop
        self.object = object
        do throws(LoopError) {
            listener = try UnixListener(on: loop, path: path) { [unowned self] in answer($0) }
        } catch { throw SourceError(error.description) }
    }

    private func answer(_ descriptor: Int32) {
        let bytes = replies.count < StatusSocket.repliesMax ? Array((object().text() + "\n").utf8) : []
        var reply: UnixReply?
        reply = try? UnixReply(on: loop, descriptor: descriptor, bytes: bytes) { [unowned self] in
            replies.removeAll { $0 === reply }
        }
        if let reply { replies.append(reply) }
    }

    func close() {
        listener?.close()
        for reply in replies { reply.close() }
    }
}

/// What a node says of its peers: in `millrace status`.
enum PeerStatus {
    static func json(_ peer: PeerReport) -> JSON {
        .object([
            ("address", .string(peer.address.description)),
            ("key", .string(PeerURI(key: .init(peer.key), address: peer.address).description)),
            ("isParent", .bool(peer.isParent)), ("isNeighbour", .bool(peer.isNeighbour)),
            ("isChild", .bool(peer.isChild)), ("isSilent", .bool(peer.isSilent)),
            ("stripesFrom", .integer(Int64(peer.stripesFrom))),
            ("stripesTo", .integer(Int64(peer.stripesTo))),
            ("roundTripMs", .number(Double(peer.roundTripMicroseconds) / 1_000)),
            ("completeThrough", .unsigned(peer.completeThrough)),
            ("receivedBytes", .unsigned(peer.bytesReceived)), ("sentBytes", .unsigned(peer.bytesSent)),
            ("shredsQueued", .integer(Int64(peer.shredsQueued))),
            ("shredsDropped", .unsigned(peer.shredsDropped)),
            ("offences", .integer(Int64(peer.offences))),
            ("standing", .string(peer.score.standing.name)),
            ("points", .integer(Int64(peer.score.points))),
            ("lossPerMille", .integer(Int64(peer.score.lossPerMille))),
            ("forgedBytes", .unsigned(peer.score.forgedBytes)),
            (
                "terms",
                .object(
                    peer.score.terms.map { name, term in
                        (
                            name,
                            .object([
                                ("value", .integer(term.value)), ("points", .integer(Int64(term.points))),
                            ])
                        )
                    })
            ),
        ])
    }

    /// Of every node: what it is, how far it is, who its peers are.
    static func object(_ role: String, _ plan: NodePlan, _ address: PeerAddress, _ core: any StreamCore)
        -> JSON
    {
        let counted = core.statistics
        return .object([
            ("role", .string(role)),
            ("peer", .string(PeerURI(key: plan.identity.session.publicKey, address: address).description)),
            ("height", .unsigned(max(counted.appliedHeight, counted.completeThrough))),
            ("tip", .unsigned(counted.tip)),
            ("streamEnded", .bool(counted.streamEnded)), ("cadence", .string("\(counted.cadence)")),
            ("parents", .integer(Int64(core.peers.count { $0.isParent }))),
            ("children", .integer(Int64(core.peers.count { $0.isChild }))),
            ("repairRequests", .unsigned(counted.repairsAsked)),
            ("repairedShreds", .unsigned(counted.repairsUseful)),
            ("stripesMoved", .unsigned(counted.stripesMoved)),
            ("offences", .unsigned(counted.offences)), ("peersBanned", .unsigned(counted.peersBanned)),
            ("framesRefused", .unsigned(counted.framesRefused)),
            ("cookiesSent", .unsigned(counted.cookiesSent)),
            ("sessionsCrowdedOut", .unsigned(counted.sessionsCrowdedOut)),
            ("pathsMoved", .unsigned(counted.pathsMoved)),
            ("localFaults", .unsigned(counted.localFaults)),
            ("peers", .array(core.peers.map(json))),
        ])
    }
}
