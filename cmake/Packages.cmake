# Everything comes from Debian's packages; scripts/setup.sh installs them.
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(spdlog REQUIRED)
find_package(nlohmann_json 3.11 REQUIRED)
find_package(Boost 1.74 REQUIRED)  # headers only: Interprocess
pkg_check_modules(DPDK REQUIRED libdpdk>=22.11)
pkg_check_modules(NUMA REQUIRED IMPORTED_TARGET numa)
pkg_check_modules(PCAP REQUIRED IMPORTED_TARGET libpcap)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)  # OpenNetVM's NFs use it
find_path(CLI11_INCLUDE_DIR CLI/CLI.hpp REQUIRED)
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
find_path(HS_INCLUDE_DIR hs/hs.h REQUIRED)
find_library(HS_STATIC_LIBRARY libhs.a REQUIRED)
find_library(IPSEC_MB_STATIC_LIBRARY libIPSec_MB.a REQUIRED)
find_library(OPENCL_LIBRARY OpenCL REQUIRED)

add_library(hb_dpdk_headers INTERFACE)
target_include_directories(hb_dpdk_headers SYSTEM INTERFACE ${DPDK_INCLUDE_DIRS})
# -march of the distribution's build is x86-64-v2 (SSE4.2); rte_acl and rte_lpm pick AVX at run time.
# Prefetches for writing are wanted as such: every x86-64 CPU takes PREFETCHW, as a no-op if need be.
target_compile_options(hb_dpdk_headers INTERFACE -include rte_config.h -march=x86-64-v2 -mprfchw
                                                 -DALLOW_EXPERIMENTAL_API)

# What a network function needs: no poll-mode driver, no bus.
set(HB_DPDK_CORE fib rib ip_frag lpm acl hash rcu net mbuf mempool ring eal telemetry kvargs)
# What the manager adds: libraries, then buses and drivers that need no library beyond libpcap.
# A tool that attaches as a DPDK secondary (dumpcap, say) refuses a primary without the shared lists
# of all libraries that the tool loads: these are in the packaged tools and make such lists.
set(HB_DPDK_SHARED_LISTS stack distributor efd ipsec member pipeline reorder)
set(HB_DPDK_PORTS table port eventdev pdump pcapng bpf cryptodev gso security vhost dmadev sched stack ethdev pci meter cmdline timer)
set(HB_DPDK_DRIVERS
  common_iavf common_idpf bus_auxiliary bus_pci bus_vdev bus_vmbus
  mempool_bucket mempool_ring mempool_stack
  net_af_packet net_ark net_atlantic net_avp net_axgbe net_bnx2x net_bnxt net_bond net_cxgbe net_e1000
  net_ena net_enic net_failsafe net_fm10k net_gve net_hinic net_hns3 net_i40e net_iavf net_ice net_idpf
  net_igc net_ionic net_ixgbe net_memif net_netvsc net_ngbe net_null net_pcap net_qede
  net_ring net_tap net_txgbe net_vdev_netvsc net_vhost net_virtio net_vmxnet3)

# hb_dpdk_library(TARGET [WHOLE ARCHIVES...] [PARTS ARCHIVES...])
# WHOLE: linked whole, since drivers and mempool handlers register themselves in constructors.
# PARTS: linked as far as they are used, which keeps out what would need libelf or libjansson.
function(hb_dpdk_library target)
  cmake_parse_arguments(arg "" "" "WHOLE;PARTS" ${ARGN})
  add_library(${target} INTERFACE)
  target_link_libraries(${target} INTERFACE hb_dpdk_headers)
  if(HB_DPDK_LINK STREQUAL "shared")
    target_link_libraries(${target} INTERFACE ${DPDK_LINK_LIBRARIES})
  else()
    foreach(kind WHOLE PARTS)
      list(TRANSFORM arg_${kind} REPLACE "(.+)" "-l:librte_\\1.a")
      list(JOIN arg_${kind} " " archives_${kind})
    endforeach()
    target_link_options(${target} INTERFACE -Wl,--as-needed)
    target_link_libraries(${target} INTERFACE
      "-Wl,--whole-archive ${archives_WHOLE} -Wl,--no-whole-archive -Wl,--start-group ${archives_PARTS} -Wl,--end-group")
  endif()
  target_link_libraries(${target} INTERFACE -lbsd -lz -lnuma Threads::Threads m dl)
endfunction()
hb_dpdk_library(hb_dpdk_core WHOLE mempool_ring ${HB_DPDK_CORE})
hb_dpdk_library(hb_dpdk_ports WHOLE ${HB_DPDK_DRIVERS} ${HB_DPDK_SHARED_LISTS} ${HB_DPDK_CORE} PARTS ${HB_DPDK_PORTS})
target_link_libraries(hb_dpdk_ports INTERFACE PkgConfig::PCAP)
