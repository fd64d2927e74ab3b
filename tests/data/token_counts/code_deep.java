                        if (response.getStatusCode() == HttpStatus.NOT_FOUND) {
                            logger.warn("Customer {} does not exist", customerId);
                            return Optional.empty();
                        } else if (response.getStatusCode().is5xxServerError()) {
                            for (int attempt = 1; attempt <= MAX_ATTEMPTS; attempt++) {
                                try {
                                    Thread.sleep(BASE_DELAY_MILLIS * (1L << attempt));
                                    response = restTemplate.exchange(request, CustomerDto.class);
                                    if (response.getStatusCode().is2xxSuccessful()) {
                                        break;
                                    }
                                } catch (InterruptedException interrupted) {
                                    Thread.currentThread().interrupt();
                                    throw new IllegalStateException("Interrupted while waiting", interrupted);
                                }
                            }
                        }

                        return Optional.ofNullable(response.getBody())
                                .map(CustomerMapper.INSTANCE::toDomainObject)
                                .filter(customer -> customer.getAddresses().size() > 0);
