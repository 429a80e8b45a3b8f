#include "manager/port_spec.h"

#include <rte_dev.h>
#include <rte_ethdev.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "manager/ports.h"
#include "tests/unit/eal_fixture.h"

namespace hb {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kRoom = 2048;
constexpr std::uint32_t kEthernet = 1;

/// A fresh folder, and captures in it.
class PortSpecTest : public test::EalTest {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) /
              ("hb_ports_" + std::to_string(getpid()) + "_" +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(folder_);
    in_ = write_pcap("in.pcap", kEthernet, {60, 0, 1514, 2048, 14});
    out_ = folder_ / "out.pcap";
  }
  void TearDown() override {
    for (const std::string& device : devices_) rte_eal_hotplug_remove("vdev", device.c_str());
    fs::remove_all(folder_);
  }

  /// Writes a capture with one record of each length; byte i of record n is n + i.
  std::string write_pcap(const std::string& name, std::uint32_t link_type,
                         const std::vector<std::uint32_t>& lengths) {
    const fs::path path = folder_ / name;
    std::ofstream file(path, std::ios::binary);
    const auto words = [&file](std::initializer_list<std::uint32_t> values) {
      for (const std::uint32_t value : values)
        file.write(reinterpret_cast<const char*>(&value), sizeof(value));
    };
    words({0xa1b2c3d4, 4u << 16 | 2, 0, 0, 262144, link_type});
    for (std::uint32_t n = 0; n < lengths.size(); ++n) {
      words({1'700'000'000 + n, 123'456, lengths[n], lengths[n]});
      for (std::uint32_t i = 0; i < lengths[n]; ++i) file.put(static_cast<char>(n + i));
    }
    return path;
  }

  /// The records' bytes, without what differs between a file that is read and its copy.
  static std::vector<std::string> records(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    file.ignore(24);
    std::vector<std::string> all;
    std::array<std::uint32_t, 4> header{};
    while (file.read(reinterpret_cast<char*>(header.data()), sizeof(header))) {
      all.emplace_back(header[2], '\0');
      file.read(all.back().data(), header[2]);
    }
    return all;
  }

  /// The error's `what` without the option's value; `file` stands for its folder's path.
  std::string error_of(const std::string& text) {
    const Result<PortSpec> spec = parse_port_spec(text, 0, kRoom);
    if (spec) return "no error";
    EXPECT_FALSE(spec.error().fix.empty()) << text;
    const std::string start = "--port '" + text + "': ";
    EXPECT_EQ(spec.error().what.substr(0, start.size()), start);
    return spec.error().what.substr(start.size());
  }

  /// Adds the devices as EAL does at start, and opens them.
  Result<std::vector<Port>> open(const std::vector<std::string>& texts, rte_mempool* pool,
                                 std::uint16_t n_rx_queues = 1) {
    const Result<std::vector<PortSpec>> specs = parse_port_specs(texts, kRoom);
    if (!specs) return specs.error();
    for (const PortSpec& spec : *specs) {
      const std::size_t comma = spec.eal_arg.find(',');
      const char* const args = spec.eal_arg.c_str() + comma + 1;
      EXPECT_EQ(rte_eal_hotplug_add("vdev", spec.device.c_str(), args), 0);
      devices_.push_back(spec.device);
    }
    return open_ports(*specs,
                      {.n_rx_queues = n_rx_queues, .max_packet_bytes = kRoom, .pool = pool});
  }

  fs::path folder_;
  std::vector<std::string> devices_;
  std::string in_;
  std::string out_;
};

TEST_F(PortSpecTest, PcapGivesDevargsThatDpdkCanSplit) {
  const Result<PortSpec> spec = parse_port_spec("pcap:rx=" + in_, 3, kRoom);
  ASSERT_TRUE(spec.ok()) << spec.error().line();
  EXPECT_EQ(spec->kind, PortKind::kPcap);
  EXPECT_TRUE(spec->lossless);
  EXPECT_EQ(spec->device, "net_pcap3");
  EXPECT_EQ(spec->rx_file, in_);
  EXPECT_EQ(spec->eal_arg, "--vdev=net_pcap3,rx_pcap=" + in_);
}

TEST_F(PortSpecTest, SecondariesDoNotSeeTheOutputFile) {
  const Result<PortSpec> spec = parse_port_spec("pcap:rx=" + in_ + ",tx=" + out_, 0, kRoom);
  ASSERT_TRUE(spec.ok()) << spec.error().line();
  const std::string devargs = spec->eal_arg.substr(std::string("--vdev=net_pcap0,").size());
  EXPECT_GE(devargs.find(",tx_pcap="), 63u);
  EXPECT_TRUE(devargs.ends_with(in_ + ",tx_pcap=" + out_)) << devargs;
}

TEST_F(PortSpecTest, RelativePathsBecomeAbsolute) {
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  const Result<PortSpec> spec = parse_port_spec("pcap:rx=in.pcap,tx=-", 0, kRoom);
  fs::current_path(before);
  ASSERT_TRUE(spec.ok()) << spec.error().line();
  EXPECT_TRUE(spec->eal_arg.ends_with(in_ + ",tx_pcap=" + (folder_ / "-").string()));
}

TEST_F(PortSpecTest, PcapErrors) {
  EXPECT_EQ(error_of("pcap"), "unknown kind of port");
  EXPECT_EQ(error_of("pcap:"), "'' is neither rx=FILE nor tx=FILE");
  EXPECT_EQ(error_of("pcap:" + in_), "'" + in_ + "' is neither rx=FILE nor tx=FILE");
  EXPECT_EQ(error_of("pcap:rx="), "rx= names no file");
  EXPECT_EQ(error_of("pcap:tx=" + out_), "rx=FILE is missing");
  EXPECT_EQ(error_of("pcap:rx=" + in_ + ",rx=" + in_), "rx is given twice");
  EXPECT_EQ(error_of("pcap:rx=" + in_ + ",tx="), "tx= names no file");
  EXPECT_EQ(error_of("pcap:rx=/nonexistent"),
            "input file '/nonexistent' can't be read: No such file or directory");
  EXPECT_EQ(error_of("pcap:rx=/dev/null"), "input file '/dev/null' is no regular file");
  std::ofstream(folder_ / "text") << "no capture, but long enough to be one";
  const std::string text = folder_ / "text";
  EXPECT_TRUE(error_of("pcap:rx=" + text)
                  .starts_with("input file '" + text + "' is no readable capture: "));
  const std::string raw = write_pcap("raw", 101, {});
  EXPECT_EQ(error_of("pcap:rx=" + raw), "input file '" + raw + "' has link type RAW");
  EXPECT_EQ(error_of("pcap:rx=" + in_ + ",tx=" + in_),
            "output file '" + in_ + "' is the input file too");
  EXPECT_EQ(error_of("pcap:rx=" + in_ + ",tx=/"), "output file '/' is a folder");
  EXPECT_EQ(error_of("pcap:rx=" + in_ + ",tx=/nonexistent/o"),
            "output file '/nonexistent/o' can't be created: there is no folder '/nonexistent'");
  const std::string odd = write_pcap("a=b", kEthernet, {});
  EXPECT_EQ(error_of("pcap:rx=" + odd), "path '" + odd + "' has a character that DPDK can't take");
}

TEST_F(PortSpecTest, NullTakesASizeThatFitsThePool) {
  EXPECT_EQ(parse_port_spec("null", 1, kRoom)->eal_arg, "--vdev=net_null1,size=64");
  EXPECT_EQ(parse_port_spec("null:size=2048", 0, kRoom)->eal_arg, "--vdev=net_null0,size=2048");
  EXPECT_FALSE(parse_port_spec("null", 1, kRoom)->lossless);
  for (const std::string bad : {"size=13", "size=2049", "size=", "size=x", "", "64"})
    EXPECT_EQ(error_of("null:" + bad), "'" + bad + "' is no packet size");
}

TEST_F(PortSpecTest, InterfacesMustExistAndBeNamedWell) {
  EXPECT_EQ(error_of("af_packet:hb_no_such"), "there is no interface 'hb_no_such'");
  EXPECT_EQ(error_of("af_packet:"), "there is no interface ''");
  for (const std::string bad :
       {"", "a/b", "a,b", "a b", "sixteen_letters_", "a=b", "..", "a%d", "a:0"})
    EXPECT_EQ(error_of("tap:" + bad), "'" + bad + "' is no interface name");
}

TEST_F(PortSpecTest, PciAddressesAreCheckedAndCompleted) {
  for (const std::string bad : {"", "0", "00:00", "00:00.8", "00:20.0", "00:00.0x", "0:0:0:0.0",
                                "zz:00.0", "00000:00:00.0", "-1:00.0", "00:00.0,a=b"})
    EXPECT_EQ(error_of("pci:" + bad), "'" + bad + "' is no PCI address");
  EXPECT_EQ(error_of("pci:FFFF:ff:1f.7"), "there is no PCI device ffff:ff:1f.7");
}

TEST_F(PortSpecTest, VdevIsPassedOn) {
  const Result<PortSpec> spec = parse_port_spec("vdev:net_null9,size=128,copy=1", 0, kRoom);
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->device, "net_null9");
  EXPECT_EQ(spec->eal_arg, "--vdev=net_null9,size=128,copy=1");
  for (const std::string bad : {"", "crypto_null", "net null", "net_a:b"})
    EXPECT_EQ(error_of("vdev:" + bad), "'" + bad + "' is no name of a virtual Ethernet device");
}

TEST_F(PortSpecTest, UnknownKindsAreNamed) {
  for (const std::string bad : {"", ":", "dpdk:0", "Null", "tap", "nullx"})
    EXPECT_EQ(error_of(bad), "unknown kind of port");
}

TEST_F(PortSpecTest, PortsCannotShareDevicesOrOutputFiles) {
  const auto error = [](const std::vector<std::string>& texts) {
    const Result<std::vector<PortSpec>> specs = parse_port_specs(texts, kRoom);
    return specs ? "no error" : specs.error().what;
  };
  const std::string rx = "pcap:rx=" + in_;
  EXPECT_EQ(error({"null", "null", rx, rx}), "no error");
  EXPECT_EQ(error({"null", "vdev:net_null0"}),
            "--port 'vdev:net_null0': uses the same device as --port 'null'");
  const std::string a = rx + ",tx=" + out_;
  const std::string b = rx + ",tx=" + (folder_ / "." / "out.pcap").string();
  const std::string reads =
      "--port '" + b + "': writes or reads an output file of --port '" + a + "'";
  EXPECT_EQ(error({a, b}), reads) << "the same file by another name, and it does not exist yet";
}

TEST_F(PortSpecTest, EalArgumentsFollowTheOrderGiven) {
  const auto specs = parse_port_specs({"null", "null:size=100"}, kRoom);
  EXPECT_EQ(port_eal_args(*specs),
            (std::vector<std::string>{"--vdev=net_null0,size=64", "--vdev=net_null1,size=100",
                                      "--no-pci"}));
}

TEST_F(PortSpecTest, FilePortCopiesEveryByteAndGivesAllMbufsBack) {
  const test::PoolPtr pool = test::make_pool(63);
  Result<std::vector<Port>> ports = open({"pcap:rx=" + in_ + ",tx=" + out_}, pool.get(), 4);
  ASSERT_TRUE(ports.ok()) << ports.error().line();
  const Port& port = ports->at(0);
  EXPECT_EQ(port.driver, "net_pcap");
  EXPECT_EQ(port.n_rx_queues, 1);
  std::array<rte_mbuf*, 32> burst{};
  ASSERT_EQ(rte_eth_rx_burst(port.id, 0, burst.data(), burst.size()), 5);
  EXPECT_EQ(rte_eth_tx_burst(port.id, 0, burst.data(), 5), 5);
  EXPECT_EQ(rte_eth_rx_burst(port.id, 0, burst.data(), burst.size()), 0) << "the end of the file";
  const Result<void> closed = close_ports(*ports);
  EXPECT_TRUE(closed.ok()) << closed.error().line();
  EXPECT_TRUE(ports->empty());
  EXPECT_EQ(records(out_), records(in_));
  EXPECT_EQ(rte_mempool_avail_count(pool.get()), 63u);
}

TEST_F(PortSpecTest, AnOutputFileThatLostBytesIsAnError) {
  const test::PoolPtr pool = test::make_pool(63);
  Result<std::vector<Port>> ports = open({"pcap:rx=" + in_ + ",tx=" + out_}, pool.get());
  ASSERT_TRUE(ports.ok()) << ports.error().line();
  std::array<rte_mbuf*, 32> burst{};
  ASSERT_EQ(rte_eth_rx_burst(ports->at(0).id, 0, burst.data(), burst.size()), 5);
  ASSERT_EQ(rte_eth_tx_burst(ports->at(0).id, 0, burst.data(), 5), 5);
  ASSERT_EQ(truncate(out_.c_str(), 100), 0);
  const Result<void> closed = close_ports(*ports);
  ASSERT_FALSE(closed.ok());
  EXPECT_EQ(closed.error().what, "output file '" + out_ + "' has 100 bytes instead of 3740");
}

TEST_F(PortSpecTest, PortsKeepTheOrderGiven) {
  const test::PoolPtr pool = test::make_pool(255);
  Result<std::vector<Port>> ports = open({"null:size=80", "pcap:rx=" + in_, "null"}, pool.get(), 2);
  ASSERT_TRUE(ports.ok()) << ports.error().line();
  ASSERT_EQ(ports->size(), 3u);
  EXPECT_EQ(ports->at(0).n_rx_queues, 2);
  EXPECT_EQ(ports->at(1).driver, "net_pcap");
  std::array<rte_mbuf*, 1> burst{};
  ASSERT_EQ(rte_eth_rx_burst(ports->at(0).id, 1, burst.data(), 1), 1);
  EXPECT_EQ(rte_pktmbuf_pkt_len(burst[0]), 80u);
  EXPECT_EQ(rte_eth_tx_burst(ports->at(2).id, 0, burst.data(), 1), 1);
  EXPECT_TRUE(close_ports(*ports).ok());
  EXPECT_EQ(rte_mempool_avail_count(pool.get()), 255u);
}

TEST_F(PortSpecTest, ADeviceThatDpdkDoesNotHaveIsAnError) {
  const auto specs = parse_port_specs({"null", "vdev:net_ring7"}, kRoom);
  const test::PoolPtr pool = test::make_pool(63);
  const Result<std::vector<Port>> ports = open_ports(*specs, {.pool = pool.get()});
  ASSERT_FALSE(ports.ok());
  EXPECT_EQ(ports.error().what, "--port 'null': DPDK has no device 'net_null0'");
}

}  // namespace
}  // namespace hb
