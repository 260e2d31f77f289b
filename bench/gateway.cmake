# gateway_bench: the data plane between DPDK ports, on one core. virtio_gateway: one end of a pair of gateways, each in a
# process of its own. Both need hugepages; README.md says how to run them.
sealcast_library(bench_traffic SOURCES ${CMAKE_CURRENT_LIST_DIR}/traffic.cc
  DEPENDS sealcast::dpdk_gateway sealcast::dataplane_testing sealcast::pcap_file dep::dpdk)
sealcast_executable(gateway_bench
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/gateway_bench.cc ${CMAKE_CURRENT_LIST_DIR}/latency_bench.cc
    ${CMAKE_CURRENT_LIST_DIR}/stage_bench.cc
  DEPENDS sealcast::bench_traffic benchmark::benchmark)
sealcast_executable(virtio_gateway SOURCES ${CMAKE_CURRENT_LIST_DIR}/virtio_gateway.cc
  DEPENDS sealcast::dpdk_gateway sealcast::dataplane_testing sealcast::pcap_file)
set_target_properties(gateway_bench virtio_gateway PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bench)
