/// A measurement as one page: no scripts, no other files, for screens light and dark and for paper. Numbers are those of the
/// JSON; everything that came from outside (names of files, the command) is escaped.

import MillraceBase

struct CodecPage {
    let report: CodecReport
    /// As typed, to be run again.
    let command: String

    var html: String {
        let first = report.cadences[0]
        var body = "<h1>\(escaped(report.source))</h1>\n"
        body +=
            "<p class=\"lead\">\(number(first.transactions)) transactions in \(number(UInt64(first.payloads))) "
        body += report.units.isEmpty ? "mini-blocks" : "blocks, each on a state of its own"
        body += ", every payload decoded again and compared"
        if report.skipped > 0 { body += "; \(number(report.skipped)) before them coded and not counted" }
        if report.bridges > 0 { body += "; \(report.bridges) bridges left out" }
        body += ". \(escaped(report.coldText.prefix(1).uppercased() + report.coldText.dropFirst())).</p>\n"
        body += headline(first)
        body += columns(first)
        if report.cadences.count > 1 { body += ratios() }
        body += comparison(first)
        if let estimate = report.estimate { body += source(estimate) }
        body += profile()
        if !report.units.isEmpty { body += blocks() }
        body += "<h2>Again</h2>\n<pre>\(escaped(command))</pre>\n"
        return """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Codec: \(escaped(report.source))</title>
            <style>
            \(CodecPage.style)
            </style>
            </head>
            <body>
            <main>
            \(body)</main>
            </body>
            </html>

            """
    }

    // MARK: Parts

    private func headline(_ first: CodecReport.CadenceFigures) -> String {
        func figure(_ value: String, _ unit: String, _ what: String) -> String {
            "<div><strong>\(value)</strong> <span>\(unit)</span><small>\(what)</small></div>\n"
        }
        var out = "<div class=\"figures\">\n"
        out += figure(fixed(first.bytesPerTx, 2), "B/tx", "payload, \(period(first.name))")
        out += figure(fixed(first.mbitPerSec, 2), "Mbit/s", "at 100,000 transactions a second")
        out += figure(
            fixed(first.ratioToRaw, 1) + "×", "", "less than raw, \(fixed(first.rawBytesPerTx, 1)) B/tx")
        out += figure(rate(first.encodeTPS), "tx/s", "encoded on one core")
        out += figure(rate(first.decodeTPS), "tx/s", "decoded and applied on one core")
        return out + "</div>\n"
    }

    private func columns(_ first: CodecReport.CadenceFigures) -> String {
        let shown = first.columns.filter { $0.bitsPerTx >= 0.005 }.sorted { $0.bitsPerTx > $1.bitsPerTx }
        let most = shown.first?.bitsPerTx ?? 1
        let rows = shown.map {
            bar(words($0.name), $0.bitsPerTx / most, "\(fixed($0.bitsPerTx, 2)) bit")
        }
        return section(
            "Bits per transaction by column",
            "Where the payload of \(period(first.name)) goes; \(fixed(first.bytesPerTx * 8, 1)) bits in all.",
            rows)
    }

    private func ratios() -> String {
        let most = report.cadences.map(\.ratioToRaw).max() ?? 1
        let rows = report.cadences.map {
            bar(
                "\($0.name), \(period($0.name))", $0.ratioToRaw / most,
                "\(fixed($0.ratioToRaw, 1))×, \(fixed($0.bytesPerTx, 2)) B/tx")
        }
        return section(
            "Ratio by cadence", "Raw bytes over payload bytes. A coarser cadence merges more and is staler.",
            rows)
    }

    private func comparison(_ first: CodecReport.CadenceFigures) -> String {
        var rows: [[String]] = [
            [
                "this codec, \(period(first.name))", fixed(first.bytesPerTx, 2),
                fixed(first.ratioToRaw, 1) + "×",
                realTime(first.encodeTPS),
            ]
        ]
        for peer in report.peers {
            rows.append([
                escaped(peer.name), fixed(peer.bytesPerTx, 2),
                fixed(first.rawBytesPerTx / max(peer.bytesPerTx, 1e-9), 1) + "×", realTime(peer.tps),
            ])
        }
        if let entropy = report.orderZeroBytesPerTx {
            rows.append([
                "order-0 entropy of the merged diffs' bytes", fixed(entropy, 2),
                fixed(first.rawBytesPerTx / max(entropy, 1e-9), 1) + "×", "",
            ])
        }
        rows.append([
            "merged, not compressed", fixed(first.mergedBytesPerTx, 2),
            fixed(first.rawBytesPerTx / max(first.mergedBytesPerTx, 1e-9), 1) + "×", "",
        ])
        if let estimate = report.estimate {
            rows.append([
                "source entropy, estimated from the operations", fixed(estimate.bytesPerTx, 2),
                fixed(first.rawBytesPerTx / max(estimate.bytesPerTx, 1e-9), 1) + "×", "",
            ])
        }
        let head = ["", "B/tx", "less than raw", "one core, times 100,000 tx/s"]
        return
            "<section>\n<h2>\(report.peers.isEmpty ? "Beside others" : "Beside zstd, in the same run")</h2>\n"
            + (report.peers.isEmpty
                ? ""
                : "<p>zstd gets the merged diffs’ keys and values: each alone, or all as one stream with a window of "
                    + "128 MiB.</p>\n")
            + table(head, rows) + "</section>\n"
    }

    private func source(_ estimate: SourceEstimate) -> String {
        let rows = estimate.parts.map { [escaped($0.name), fixed($0.bitsPerTx, 2), escaped($0.how)] }
        return "<section>\n<h2>What the source is worth</h2>\n"
            + "<p>Bits per transaction if transactions were independent draws, estimated from the operations of "
            + "\(fixed(estimate.understoodShare * 100, 1)) % of them. About what any coder has to send.</p>\n"
            + table(["", "bit/tx", "law"], rows) + "</section>\n"
    }

    private func profile() -> String {
        var out = ""
        for (side, title) in [
            ("encode.", "Time of a core, encoding"), ("decode.", "Time of a core, decoding"),
        ] {
            let lines = report.profile.filter { $0.stage.hasPrefix(side) && $0.share >= 0.001 }
            let most = lines.map(\.share).max() ?? 1
            out += section(
                title, "",
                lines.sorted { $0.share > $1.share }.map {
                    bar(
                        words(String($0.stage.dropFirst(side.count))), $0.share / most,
                        "\(fixed($0.nanosecondsPerTx, 0)) ns/tx, \(fixed($0.share * 100, 1)) %")
                })
        }
        return "<div class=\"pair\">\n\(out)</div>\n"
    }

    private func blocks() -> String {
        let median = report.medianRatioToRaw.map { "Median \(fixed($0, 2))× less than raw." } ?? ""
        let rows = report.units.map {
            [
                escaped($0.name), number($0.transactions), number($0.rawBytes),
                number(UInt64($0.payloadBytes)),
                fixed($0.ratioToRaw, 2) + "×",
            ]
        }
        return "<section>\n<h2>Block by block</h2>\n<p>\(median)</p>\n"
            + table(["block", "transactions", "raw bytes", "payload bytes", "less than raw"], rows)
            + "</section>\n"
    }

    // MARK: Pieces

    private func section(_ title: String, _ text: String, _ rows: [String]) -> String {
        "<section>\n<h2>\(title)</h2>\n" + (text.isEmpty ? "" : "<p>\(text)</p>\n")
            + "<table class=\"bars\">\n\(rows.joined())</table>\n</section>\n"
    }

    /// `share` is of the longest bar.
    private func bar(_ name: String, _ share: Double, _ value: String) -> String {
        let width = decimal(max(0, min(1, share)) * 100, 1)
        return
            "<tr><th>\(escaped(name))</th><td><i style=\"width:\(width)%\"></i></td><td>\(value)</td></tr>\n"
    }

    /// The first cell of a row is its name.
    private func table(_ head: [String], _ rows: [[String]]) -> String {
        var out = "<table class=\"numbers\">\n<tr>" + head.map { "<th>\($0)</th>" }.joined() + "</tr>\n"
        for row in rows {
            out += "<tr><th>\(row[0])</th>" + row.dropFirst().map { "<td>\($0)</td>" }.joined() + "</tr>\n"
        }
        return out + "</table>\n"
    }

    private func period(_ cadence: String) -> String {
        if !report.units.isEmpty { return "block by block" }
        return ["c0": "10 ms", "c1": "100 ms", "c2": "1 s", "c3": "10 s"][cadence] ?? escaped(cadence)
    }

    private func realTime(_ tps: Double) -> String { fixed(tps / CodecReport.realTimeTPS, 2) + "×" }

    /// With exactly so many digits behind the point, so that columns of numbers line up.
    private func fixed(_ value: Double, _ digits: Int) -> String {
        let text = decimal(value, digits)
        guard digits > 0, value.isFinite else { return text }
        let have = text.firstIndex(of: ".").map { text.distance(from: $0, to: text.endIndex) - 1 } ?? 0
        return text + (have == 0 ? "." : "") + String(repeating: "0", count: max(0, digits - have))
    }

    /// Three digits that matter.
    private func rate(_ tps: Double) -> String {
        tps >= 1e6 ? fixed(tps / 1e6, 2) + " M" : fixed(tps / 1e3, 0) + " k"
    }

    /// Digits in groups of three.
    private func number(_ value: UInt64) -> String {
        var out = ""
        let digits = Array(String(value))
        for (i, digit) in digits.enumerated() {
            if i > 0, (digits.count - i) % 3 == 0 { out += "," }
            out.append(digit)
        }
        return out
    }

    /// `slotValues` as `slot values`.
    private func words(_ name: String) -> String {
        var out = ""
        for character in name {
            if character.isUppercase { out += " " }
            out += character.lowercased()
        }
        return out.replacing(".", with: " ")
    }

    private func escaped(_ text: some StringProtocol) -> String { CodecPage.escape(String(text)) }

    static func escape(_ text: String) -> String {
        var out = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": out += "&amp;"
            case "<": out += "&lt;"
            case ">": out += "&gt;"
            case "\"": out += "&quot;"
            case "'": out += "&#39;"
            default:
                // Control characters, line breaks apart, have no place in a page.
                if scalar.value >= 0x20 || scalar == "\n" { out.unicodeScalars.append(scalar) }
            }
        }
        return out
    }

    /// What was typed, quoted where a shell would take it apart.
    static func shell(_ words: some Sequence<String>) -> String {
        words.map { word in
            let isPlain =
                !word.isEmpty
                && word.utf8.allSatisfy {
                    switch $0 {
                    case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                    case 0x2B...0x2F, 0x3A, 0x3D, 0x40, 0x5F, 0x5E, 0x25: true
                    default: false
                    }
                }
            return isPlain ? word : "'" + word.replacing("'", with: "'\\''") + "'"
        }
        .joined(separator: " ")
    }

    private static let style = """
        :root {
          color-scheme: light dark;
          --paper: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d8dee4; --bar: #2f6f9f; --pre: #f4f6f8;
        }
        @media (prefers-color-scheme: dark) {
          :root { --paper: #14181d; --ink: #e6eaee; --soft: #9aa5b1; --line: #333b44; --bar: #6fb1dd; --pre: #1d232a; }
        }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "DejaVu Sans", sans-serif; }
        main { max-width: 60rem; margin: 0 auto; padding: 2rem 1.25rem 3rem; }
        h1 { font-size: 1.35rem; line-height: 1.3; margin: 0 0 .4rem; overflow-wrap: anywhere; }
        h2 { font-size: 1.02rem; margin: 2rem 0 .3rem; }
        p { margin: 0 0 .6rem; color: var(--soft); max-width: 46rem; }
        .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .8rem 1.2rem; }
        .figures { margin: 1.2rem 0 0; }
        .figures strong { font-size: 1.7rem; font-weight: 600; font-variant-numeric: tabular-nums; }
        .figures span { color: var(--soft); }
        .figures small { display: block; color: var(--soft); line-height: 1.35; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
        th { font-weight: 400; text-align: left; }
        .bars th { width: 11rem; padding: .15rem .8rem .15rem 0; }
        .bars td:last-child { width: 11rem; padding-left: .8rem; color: var(--soft); white-space: nowrap; }
        .bars i { display: block; height: .85rem; min-width: 1px; background: var(--bar); border-radius: 0 2px 2px 0;
          print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        .numbers td, .numbers tr:first-child th:not(:first-child) { text-align: right; padding-left: 1rem; }
        .numbers tr:first-child th { color: var(--soft); }
        .numbers tr + tr > * { border-top: 1px solid var(--line); padding-top: .2rem; padding-bottom: .2rem; }
        .pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(24rem, 1fr)); gap: 0 2.5rem; }
        .pair .bars th { width: 8.5rem; }
        .pair .bars td:last-child { width: 9.5rem; }
        pre { background: var(--pre); padding: .7rem .9rem; border-radius: 4px; white-space: pre-wrap; overflow-wrap: anywhere;
          margin: 0; font: 13px/1.5 ui-monospace, "DejaVu Sans Mono", monospace; }
        @media (max-width: 34rem) {
          .bars th { width: 7rem; } .bars td:last-child { width: 8rem; } .pair { grid-template-columns: 1fr; }
        }
        @media print {
          :root { --paper: #fff; --ink: #000; --soft: #444; --line: #bbb; --bar: #2f6f9f; --pre: #f4f6f8; }
          main { max-width: none; padding: 0; } section, .figures { break-inside: avoid; }
        }
        """
}
