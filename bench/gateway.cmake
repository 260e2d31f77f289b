# gateway_bench: the data plane between DPDK ports, on one core. Needs hugepages; README.md says how to run it.
sealcast_executable(gateway_bench SOURCES gateway_bench.cc
  DEPENDS sealcast::dpdk_gateway sealcast::dataplane_testing sealcast::pcap_file dep::dpdk benchmark::benchmark)
set_target_properties(gateway_bench PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
