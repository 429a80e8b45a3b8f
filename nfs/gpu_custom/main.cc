// gpu_custom: the control process of a kernel that a user brings. start_nf.sh NAME --gpu --kernel F
// runs it under that name where there is no NF called so (docs/gpu-nf.md).
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <utility>

#include "nf_lib/memory_file.h"
#include "nf_lib/nf.h"

namespace hb {
namespace {

/// File and table as they are asked for.
struct Files {
  std::string kernel;
  std::string table;
};

class GpuCustom final : public GpuNetworkFunction {
 public:
  void add_options(CLI::App& app) override {
    app.add_option("--kernel", now_.files.kernel, "the kernel's source: docs/gpu-nf.md")
        ->required();
    app.add_option("--table", now_.files.table, "a file whose bytes the kernel reads as its table");
  }

  Result<void> describe(NfDescription& description) override {
    if (const Result<void> loaded = load(Files(now_.files)); !loaded) return loaded;
    description.drop_reasons = now_.kernel.drop_reasons;
    return {};
  }

  [[nodiscard]] std::string kernel() const override { return "user"; }
  [[nodiscard]] const KernelFile* kernel_file() const override { return &now_.kernel; }
  Result<std::vector<std::byte>> table() override { return now_.table; }

  /// [--kernel FILE] [--table FILE]: what is not named is read again where it was.
  Result<std::string> reload(std::span<const std::string> args) override {
    Files next = now_.files;
    for (std::size_t i = 0; i < args.size(); i += 2) {
      const bool is_kernel = args[i] == "--kernel";
      if ((!is_kernel && args[i] != "--table") || i + 1 == args.size())
        return Error{"'" + args[i] + "' can't be reloaded", "use --kernel FILE and --table FILE"};
      (is_kernel ? next.kernel : next.table) = args[i + 1];
    }
    before_ = now_;
    if (const Result<void> loaded = load(next); !loaded) return loaded.error();
    if (now_.kernel.drop_reasons != before_.kernel.drop_reasons) {
      now_ = before_;
      return Error{"the new kernel declares other drop_reasons", "stop the NF, then start it"};
    }
    return "kernel " + next.kernel + (next.table.empty() ? "" : ", table " + next.table);
  }
  void on_replaced(bool in_force) override {
    if (!in_force) now_ = before_;
  }

 private:
  Result<void> load(const Files& files) {
    Result<std::string> source = read_file(files.kernel);
    if (!source) return source.error();
    Result<KernelFile> kernel = parse_kernel_file(files.kernel, std::move(*source));
    if (!kernel) return kernel.error();
    const Result<std::string> table = read_file(files.table);
    if (!table) return table.error();
    const auto bytes = std::as_bytes(std::span(table->data(), table->size()));
    now_ = {files, std::move(*kernel), {bytes.begin(), bytes.end()}};
    return {};
  }

  struct State {
    Files files;
    KernelFile kernel;
    std::vector<std::byte> table;
  };
  State now_;
  State before_;
};

}  // namespace
}  // namespace hb

int main(int argc, char** argv) {
  return hb::nf_main(
      argc, argv, {.name = "gpu_custom", .summary = "runs a kernel of your own on the GPU"},
      {.cpu = nullptr, .gpu = [] {
         return std::unique_ptr<hb::GpuNetworkFunction>(std::make_unique<hb::GpuCustom>());
       }});
}
