/// `millrace profiles`: the kinds of line that have a name, and after what each was set.

import ArgumentParser
import Foundation
import MillraceBase
import MillraceLink

struct Profiles: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List the link profiles, or show one in full.",
        discussion: """
            A profile's name stands for its settings wherever a link is written (impair, demo, simulate), and may be followed \
            by settings that replace its own: dsl-25,loss=2%. The keys are those of Protocol-Spec, chapter 80.
            """)

    @Argument(help: "The profile to show in full.") var name: String?
    @OptionGroup var output: OutputOptions

    func run() throws {
        guard let name else {
            output.result(Profiles.object(LinkProfile.all), Profiles.table(LinkProfile.all))
            return
        }
        guard let profile = LinkProfile.named(name.lowercased()) else {
            let names = LinkProfile.all.map(\.name)
            let hint = Suggestion.hint(for: name, among: names)
            throw Failure(
                .usage,
                "there is no profile \"\(name)\""
                    + (hint.isEmpty ? "; profiles are " + names.joined(separator: ", ") : hint))
        }
        output.result(Profiles.object([profile]), Profiles.page(profile))
    }

    private static func object(_ profiles: [LinkProfile]) -> JSON {
        .object([
            (
                "profiles",
                .array(
                    profiles.map {
                        .object([
                            ("name", .string($0.name)), ("down", .string($0.down)), ("up", .string($0.up)),
                            ("about", .string($0.about)), ("source", .string($0.source)),
                        ])
                    })
            )
        ])
    }

    /// Name, rates, round trip, loss, and what it is: a line each.
    private static func table(_ profiles: [LinkProfile]) -> String {
        var rows = [["profile", "Mbit/s", "up", "rtt ms", "loss %", "about"]]
        for profile in profiles {
            let down = profile.parameters(.down)
            let up = profile.parameters(.up)
            rows.append([
                profile.name, rate(down), rate(up),
                JSON.number((down.delay + up.delay).asMilliseconds, decimals: 1).text(),
                JSON.number(down.loss.asDouble * 100, decimals: 4).text(), profile.about,
            ])
        }
        let widths = (0..<5).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            let first = row[0].padding(toLength: widths[0], withPad: " ", startingAt: 0)
            let numbers = (1..<5).map { column in
                String(repeating: " ", count: widths[column] - row[column].count) + row[column]
            }
            return ([first] + numbers + [row[5]]).joined(separator: "  ")
        }.joined(separator: "\n")
    }

    /// What it carries over the long run; of a trace, marked as about.
    private static func rate(_ link: LinkParameters) -> String {
        guard let mean = link.meanRateBitsPerSecond else { return "-" }
        let rate = min(mean, link.policer?.bitsPerSecond ?? mean)
        let number = JSON.number(Double(rate) / 1e6, decimals: link.trace == nil ? 3 : 1).text()
        return link.trace == nil ? number : "~" + number
    }

    private static func page(_ profile: LinkProfile) -> String {
        """
        \(profile.name): \(profile.about)
        down    \(profile.down)
        up      \(profile.up)
        source  \(profile.source)
        """
    }
}
