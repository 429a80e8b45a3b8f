// hbctl: shows what a running platform does, stops network functions and reloads them, changes
// routes and flows.
// Exit status: 0; 1 on any error; 2 when an audit finds packets lost or in two places.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
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
  std::string file;        ///< a statistics file instead of a running manager
  double rate_s = 0;       ///< time between two looks, for rates; 0: one look
  std::string service;     ///< of stop, scale, restart, reload and gpu resize
  unsigned instances = 0;  ///< of scale
  std::uint32_t n_work_groups = 0;
  unsigned timeout_s = 60;  ///< of restart
  std::vector<std::string> reload_args;
  ReadyDemand ready;
  std::string type, current, next;  ///< of route
  json generated = {{"op", "generate"}};
};

int fail(const Error& error) {
  fmt::print(stderr, "hbctl: {}\n", error.line());
  return 1;
}

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }
void print(const json& object) { fmt::print("{}\n", object.dump(2)); }

Result<json> read_statistics(const std::string& path) {
  std::ifstream in(path);
  std::string text;
  std::getline(in, text, '\0');
  if (!in.eof())
    return Error{fmt::format("'{}' can't be read", path), "name a file that --stats has written"};
  json object = json::parse(text, nullptr, false);
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

int generate(const Options& options) {
  json request = options.generated;
  if (request.contains("write"))  // the manager runs in another directory
    request["write"] = std::filesystem::absolute(request["write"].get<std::string>());
  const Result<json> answer = ask(options.prefix, request);
  if (!answer) return fail(answer.error());
  if (options.as_json) {
    print(*answer);
    return 0;
  }
  const auto rate = answer->value("rate_pps", 0u);
  fmt::print("rate: {}\n", rate == 0 ? "no limit" : fmt::format("{} packets a second", rate));
  if (answer->contains("written")) fmt::print("{} packets written\n", answer->value("written", 0u));
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

/// Has routes or flows changed, and waits until no packet is held for it any more.
int change(const Options& options, json request) {
  request["op"] = "change";
  const Result<json> answer = ask(options.prefix, request, kLongLimit);
  if (!answer) return fail(answer.error());
  const json done = answer->value("change", json::object());
  if (options.as_json)
    print(done);
  else
    print(change_text(done));
  return 0;
}

/// hbctl reload routes|flows [FILE]
int reload_file(const Options& options) {
  if (options.reload_args.size() > 1)
    return fail(Error{fmt::format("reload {} takes one file, not {}", options.service,
                                  options.reload_args.size()),
                      "see hbctl reload --help"});
  std::string path;
  if (!options.reload_args.empty())  // the manager runs in another directory
    path = std::filesystem::absolute(options.reload_args.front());
  return change(options, {{"what", options.service}, {"path", path}});
}

/// @return the names to reload one after the other: all running instances of a service
std::vector<std::string> instances_of(const std::string& service, const json& status) {
  std::vector<std::string> names;
  for (const json& nf : status.value("nfs", json::array()))
    if (nf.value("service", "") == service && nf.value("state", "") == "running")
      names.push_back(fmt::format("{}/{}", service, nf.value("instance", 0)));
  if (names.size() < 2) names = {service};
  return names;
}

/// NFs run in other directories: what names a file here is named from the root.
std::vector<std::string> with_whole_paths(std::vector<std::string> args) {
  std::error_code none;
  for (std::string& arg : args)
    if (!arg.starts_with('-') && std::filesystem::exists(arg, none))
      arg = std::filesystem::absolute(arg);
  return args;
}

int reload(const Options& options) {
  if (options.service == "routes" || options.service == "flows") return reload_file(options);
  const Result<json> answer = ask(options.prefix, {{"op", "status"}});
  if (!answer) return fail(answer.error());
  int status = 0;
  for (const std::string& name : instances_of(options.service, answer->at("status"))) {
    const Result<json> done = ask(
        options.prefix,
        {{"op", "reload_nf"}, {"service", name}, {"args", with_whole_paths(options.reload_args)}},
        kLongLimit);
    if (!done)
      status = fail(done.error());
    else if (options.as_json)
      print(*done);
    else
      fmt::print("{}: {}\n", name, done->value("result", "reloaded"));
  }
  return status;
}

int scale(const Options& options) {
  const Result<json> answer =
      ask(options.prefix,
          {{"op", "scale"}, {"service", options.service}, {"instances", options.instances}});
  if (!answer) return fail(answer.error());
  if (options.as_json)
    print(*answer);
  else
    fmt::print("{}: from {} to {} instances\n", options.service, answer->value("before", 0u),
               options.instances);
  return 0;
}

int restart(const Options& options) {
  const Result<json> answer = ask(options.prefix, {{"op", "restart"}, {"service", options.service}},
                                  std::chrono::seconds(options.timeout_s));
  if (!answer) return fail(answer.error());
  if (options.as_json)
    print(*answer);
  else
    fmt::print("{}: {} restarted\n", options.service, answer->value("restarted", 0u));
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
  CLI::App app("Shows what a running Hummingbird platform does, and changes it.", "hbctl");
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
      ->add_option("NF", options.service, "a service, or one instance of it like router/1")
      ->required();
  CLI::App* const reloading = command(
      "reload",
      "NF: give it new configuration; routes [FILE], flows [FILE]: read them again, or from "
      "another file. Packets go on",
      reload);
  reloading->add_option("NF", options.service, "its service, as in hbctl nfs, or routes or flows")
      ->required();
  // What hbctl does not know is the NF's, like --rules FILE: it must not fall through.
  reloading->fallthrough(false)->allow_extras();
  reloading->add_option("--prefix", options.prefix, "the manager's prefix");
  reloading->add_flag("--json", options.as_json, "print JSON");
  reloading->callback([&status, &options, reloading] {
    options.reload_args = reloading->remaining();
    status = reload(options);
  });
  CLI::App* const scaled = command("scale", "let so many processes share a service", scale);
  scaled->add_option("NF", options.service, "its service, started by start_nf.sh")->required();
  scaled->add_option("N", options.instances, "instances; the newest leave first")->required();
  CLI::App* const restarted =
      command("restart", "replace processes one after the other by what is on disk now", restart);
  restarted->add_option("NF", options.service, "a service, or one instance of it like router/1")
      ->required();
  restarted->add_option("--timeout", options.timeout_s, "wait at most so many seconds for the end")
      ->check(CLI::Range(1u, 3600u))
      ->capture_default_str();
  CLI::App* const generating = command(
      "generate", "change what a gen: port offers, or keep packets that come back to it", generate);
  const auto generated = [&](const char* name, const char* key, const char* text) {
    generating->add_option_function<std::uint32_t>(
        name, [&options, key](std::uint32_t value) { options.generated[key] = value; }, text);
  };
  generated("--port", "port", "its number (default 0)");
  generated("--rate", "rate", "packets a second, 0: no limit; latencies are counted anew");
  generated("--sample", "sample", "keep copies of so many packets on each TX queue");
  generating->add_option_function<std::string>(
      "--write", [&options](const std::string& path) { options.generated["write"] = path; },
      "write the copies to this capture");
  CLI::App* const route = app.add_subcommand("route", "change one rule of the route table");
  route->require_subcommand(1);
  route->fallthrough();
  const auto edit = [&](const char* name, const char* text) {
    CLI::App* const sub = route->add_subcommand(name, text);
    sub->fallthrough();
    sub->add_option("TYPE", options.type, "packet type, * for all without a rule")->required();
    sub->add_option("CURRENT", options.current, "an NF, or rx")->required();
    sub->callback([&status, &options, name] {
      status = change(options, {{"what", name},
                                {"type", options.type},
                                {"current", options.current},
                                {"next", options.next}});
    });
    return sub->add_option("NEXT", options.next, "an NF, tx, tx:PORT or drop");
  };
  edit("add", "add a rule")->required();
  edit("replace", "give a rule another next NF")->required();
  edit("del", "take a rule away");
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
  } catch (const std::exception& error) {
    fmt::print(stderr, "hbctl: {}\n", error.what());
    return 1;
  }
}
