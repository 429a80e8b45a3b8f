// hbctl: shows what a running platform does, stops network functions and reloads them.
// Exit status: 0; 1 on any error; 2 when an audit finds packets lost or in two places.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "nf_lib/text_table.h"
#include "tools/hbctl/client.h"

namespace hb::hbctl {
namespace {

using nlohmann::json;

constexpr int kAuditFailed = 2;
/// Rates are what one wants to know of a GPU: hbctl gpu always looks twice.
constexpr double kGpuRateS = 0.5;

struct Options {
  std::string prefix = "hb";
  bool as_json = false;
  std::string file;     ///< a statistics file instead of a running manager
  double rate_s = 0;    ///< time between two looks, for rates; 0: one look
  std::string service;  ///< of stop, reload and gpu resize
  std::uint32_t n_work_groups = 0;
  std::vector<std::string> reload_args;
  ReadyDemand ready;
};

int fail(const Error& error) {
  fmt::print(stderr, "hbctl: {}\n", error.line());
  return 1;
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void print(const json& object) { fmt::print("{}\n", object.dump(2)); }

Result<json> read_statistics(const std::string& path) {
  std::ifstream in(path);
  if (!in)
    return Error{fmt::format("'{}' can't be read", path), "name a file that --stats has written"};
  json object = json::parse(in, nullptr, false);
  if (!object.is_object())
    return Error{fmt::format("'{}' is not a statistics file", path),
                 "name a file that --stats has written"};
  return object;
}

Result<json> status_of(const Options& options) {
  if (!options.file.empty()) return read_statistics(options.file);
  Result<json> answer = ask(options.prefix, {{"op", "status"}});
  if (!answer) return answer.error();
  return answer->value("status", json::object());
}

using ToText = std::string (*)(const json&, const EarlierStatus*);

/// @param key  the part of the status that --json prints; null for all of it
int show(const Options& options, ToText to_text, const char* key) {
  Result<json> status = status_of(options);
  if (!status) return fail(status.error());
  if (options.as_json) {
    print(key == nullptr ? *status : status->value(key, json()));
    return 0;
  }
  if (!(options.rate_s > 0) || !options.file.empty()) {
    print(to_text(*status, nullptr));
    return 0;
  }
  const auto before = std::chrono::steady_clock::now();
  std::this_thread::sleep_for(std::chrono::duration<double>(options.rate_s));
  const Result<json> later = status_of(options);
  if (!later) return fail(later.error());
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - before;
  const EarlierStatus earlier{*status, passed.count()};
  print(to_text(*later, &earlier));
  return 0;
}

int audit(const Options& options) {
  Result<json> answer =
      options.file.empty() ? ask(options.prefix, {{"op", "audit"}}) : read_statistics(options.file);
  if (!answer) return fail(answer.error());
  const json found = answer->value("audit", json::object());
  if (options.as_json)
    print(found);
  else
    print(audit_text(found));
  return found.value("ok", false) ? 0 : kAuditFailed;
}

int stop(const Options& options) {
  const Result<json> answer =
      ask(options.prefix, {{"op", "stop_service"}, {"service", options.service}});
  if (!answer) return fail(answer.error());
  if (options.as_json)
    print(*answer);
  else
    fmt::print("{}: stopping; it finishes what is in its rings first\n", options.service);
  return 0;
}

int resize(const Options& options) {
  const Result<json> answer =
      ask(options.prefix,
          {{"op", "gpu_resize"}, {"service", options.service}, {"n", options.n_work_groups}},
          kLongLimit);
  if (!answer) return fail(answer.error());
  if (options.as_json)
    print(*answer);
  else
    fmt::print("{}: {} work-groups, after a pause of {:.0f} us\n", options.service,
               answer->value("work_groups", json::array()).size(), answer->value("pause_us", 0.0));
  return 0;
}

int reload(const Options& options) {
  const Result<json> answer =
      ask(options.prefix,
          {{"op", "reload_nf"}, {"service", options.service}, {"args", options.reload_args}},
          kLongLimit);
  if (!answer) return fail(answer.error());
  if (options.as_json)
    print(*answer);
  else
    fmt::print("{}: {}\n", options.service, answer->value("result", "reloaded"));
  return 0;
}

int wait(const Options& options) {
  ReadyDemand demand = options.ready;
  demand.prefix = options.prefix;
  const Result<json> status = wait_ready(demand);
  if (!status) return fail(status.error());
  if (options.as_json) print(*status);
  return 0;
}

int run(int argc, char** argv) {
  Options options;
  CLI::App app("Shows what a running Hummingbird platform does, and stops network functions.",
               "hbctl");
  app.require_subcommand(0, 1);
  app.fallthrough();  // --json and --prefix are welcome before and after the command
  app.add_option("--prefix", options.prefix, "the manager's prefix")->capture_default_str();
  app.add_flag("--json", options.as_json, "print JSON instead of a table");
  app.add_option("--file", options.file, "read a file written by --stats, not a running manager");
  app.add_option("--rate", options.rate_s, "look twice, so many seconds apart, and show rates")
      ->check(CLI::Range(0.01, 3600.0));
  app.footer("Exit status: 0; 1 on an error; 2 when an audit finds packets lost or in two places.");

  int status = 0;
  const auto command = [&](const char* name, const char* text, auto action) {
    CLI::App* const sub = app.add_subcommand(name, text);
    sub->callback([&status, &options, action] { status = action(options); });
    return sub;
  };
  command("status", "ports, NFs, pool, GPU and audit",
          [](const Options& o) { return show(o, status_text, nullptr); });
  command("nfs", "network functions, their counters and drop reasons",
          [](const Options& o) { return show(o, nfs_text, "nfs"); });
  command("ports", "ports and their counters",
          [](const Options& o) { return show(o, ports_text, "ports"); });
  CLI::App* const gpu = app.add_subcommand("gpu", "the device, and the NFs that share it");
  CLI::App* const resizing =
      gpu->add_subcommand("resize", "give a GPU NF N work-groups; packets go on");
  resizing->add_option("NF", options.service, "its service, as in hbctl gpu")->required();
  resizing->add_option("N", options.n_work_groups, "work-groups it is to have")->required();
  gpu->callback([&status, &options, resizing] {
    if (resizing->parsed()) {
      status = resize(options);
      return;
    }
    Options looked = options;
    if (looked.file.empty() && !(looked.rate_s > 0)) looked.rate_s = kGpuRateS;
    status = show(looked, gpu_text, "gpu");
  });
  command("routes", "the route table: packet type, current NF, next NF", [](const Options& o) {
    return show(
        o, [](const json& s, const EarlierStatus*) { return routes_text(s); }, "routes");
  });
  command("audit", "place every packet of the pool", audit);
  command("stop", "stop a network function once its rings are empty", stop)
      ->add_option("NF", options.service, "its service, as in hbctl nfs")
      ->required();
  CLI::App* const reloading =
      command("reload", "give a running NF new configuration; packets go on", reload);
  reloading->add_option("NF", options.service, "its service, as in hbctl nfs")->required();
  // What hbctl does not know is the NF's, like --rules FILE: it must not fall through.
  reloading->fallthrough(false)->allow_extras();
  reloading->add_option("--prefix", options.prefix, "the manager's prefix");
  reloading->add_flag("--json", options.as_json, "print JSON");
  reloading->callback([&status, &options, reloading] {
    options.reload_args = reloading->remaining();
    status = reload(options);
  });
  CLI::App* const ready =
      command("wait-ready", "wait until the manager answers and the named NFs are running", wait);
  ready->add_option("NF", options.ready.services, "services that must be running");
  ready->add_option("--timeout", options.ready.timeout_s, "give up after so many seconds")
      ->check(CLI::Range(0.0, 3600.0))
      ->capture_default_str();
  ready->add_option("--pid", options.ready.pid, "the manager's process: give up when it ends");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& done) {
    return app.exit(done);
  } catch (const CLI::ParseError& error) {
    return fail(Error{error.what(), "see hbctl --help"});
  }
  if (app.get_subcommands().empty()) return fail(Error{"a command is missing", "see hbctl --help"});
  return status;
}

}  // namespace
}  // namespace hb::hbctl

int main(int argc, char** argv) {
  try {
    return hb::hbctl::run(argc, argv);
  } catch (const nlohmann::json::exception& error) {
    fmt::print(stderr,
               "hbctl: the manager's answer makes no sense ({}): "
               "build all programs from one tree\n",
               error.what());
    return 1;
  }
}
