from aqea_registry.cli import main

main()
