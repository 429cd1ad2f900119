/// A node's answer to `millrace status`, as it came and as text for people.

import Foundation
import MillraceLoop

public struct NodeAnswer {
    /// One JSON object on one line.
    public let json: String
    private let fields: [String: Any]

    /// Asks the node whose status socket is at `path`. Throws `SourceError` with a sentence.
    public init(askingAt path: String) throws {
        do throws(LoopError) {
            let bytes = try UnixQuestion.answer(at: path)
            json = String(decoding: bytes, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        } catch { throw SourceError(error.description) }
        guard let object = try? JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any] else {
            throw SourceError("what answers at \(path) is no node: expected one JSON object")
        }
        fields = object
    }

    /// A few lines on the node; with `withPeers` a block on each peer, its score's terms with value and points.
    public func text(withPeers: Bool) -> String {
        var lines = [
            "\(field("role")) \(field("peer"))",
            "height \(field("height")) of \(field("tip")), cadence \(field("cadence")), "
                + "\(field("parents")) parents, \(field("children")) children",
            "repaired \(field("repairedShreds")) of \(field("repairRequests")) asked, \(field("stripesMoved")) stripes moved, "
                + "\(field("offences")) offences, \(field("peersBanned")) banned",
        ]
        let peers = fields["peers"] as? [[String: Any]] ?? []
        for peer in peers {
            func of(_ name: String) -> String { NodeAnswer.text(peer[name]) }
            func has(_ name: String) -> Bool { peer[name] as? Bool == true }
            let roles = [("isParent", "parent"), ("isNeighbour", "neighbour"), ("isChild", "child")]
                .filter { has($0.0) }.map(\.1)
            let role = roles.isEmpty ? "peer" : roles.joined(separator: " and ")
            lines.append(
                "  \(of("address"))  \(role)  \(of("standing"))  \(of("points")) points  \(of("roundTripMs")) ms  "
                    + "\(of("stripesFrom")) stripes from, \(of("stripesTo")) to  \(of("lossPerMille"))‰ lost")
            guard withPeers, let terms = peer["terms"] as? [String: [String: Any]] else { continue }
            for (name, term) in terms.sorted(by: { $0.key < $1.key }) {
                let padded = name.padding(toLength: 24, withPad: " ", startingAt: 0)
                lines.append(
                    "      \(padded) \(NodeAnswer.text(term["value"]))  (\(NodeAnswer.text(term["points"])))")
            }
        }
        return lines.joined(separator: "\n")
    }

    private func field(_ name: String) -> String { NodeAnswer.text(fields[name]) }

    private static func text(_ value: Any?) -> String {
        switch value {
        case let text as String: text
        case let number as NSNumber: number.stringValue
        default: "-"
        }
    }
}
