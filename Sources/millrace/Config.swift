/// `millrace config print`: the settings a node would run with, and where each comes from.

import ArgumentParser
import Foundation
import MillraceBase
import MillraceNode

struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the effective configuration.", subcommands: [ConfigPrint.self])
}

struct ConfigPrint: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "print",
        abstract: "Print every setting: file, then environment (MILLRACE_*), then flags win.")
    @OptionGroup var node: NodeOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        let settings = try node.settings()
        let rows = Setting.allCases.map { ($0, settings.text($0), settings.origin($0).description) }
        let width = rows.map { $0.0.rawValue.count }.max() ?? 0
        output.result(
            .object(
                rows.map { setting, text, origin in
                    (setting.rawValue, .object([("value", .string(text)), ("origin", .string(origin))]))
                }),
            rows.map { setting, text, origin in
                let name = setting.rawValue + String(repeating: " ", count: width - setting.rawValue.count)
                return "\(name)  \(text.isEmpty ? "(none)" : text)  [\(origin)]"
            }.joined(separator: "\n"))
    }
}
