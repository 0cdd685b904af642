from flows.command import main

main()
