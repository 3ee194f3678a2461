remove what crashes left:
  runner.hart.sweep:
    - args:
      - grace: 3600
