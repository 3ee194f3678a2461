take no more work:
  test.show_notification:
    - text: {{ grains['id'] }} is about to go
